// The official validator engine, kept warm: reads a file's name a line, writes what it finds as one line of JSON, until standard input ends.
// Words: a folder of StructureDefinitions and the like, taken beside base R4. Nothing is fetched from anywhere.
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import ca.uhn.fhir.validation.ValidationOptions;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;

public class Judge {
  static final FhirContext R4 = FhirContext.forR4();
  static final Gson JSON = new GsonBuilder().disableHtmlEscaping().create();

  static PrePopulatedValidationSupport definitions(Path folder) throws Exception {
    PrePopulatedValidationSupport held = new PrePopulatedValidationSupport(R4);
    try (var files = Files.list(folder)) {
      for (Path file : new TreeSet<>(files.filter(one -> one.toString().endsWith(".json")).toList())) {
        IBaseResource resource = R4.newJsonParser().parseResource(Files.readString(file));
        held.addResource(resource);
      }
    }
    return held;
  }

  static FhirValidator validator(Path definitions) throws Exception {
    UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(R4);
    unknown.setNonExistentCodeSystemSeverity(ca.uhn.fhir.context.support.IValidationSupport.IssueSeverity.WARNING);
    ValidationSupportChain chain = new ValidationSupportChain(
        definitions(definitions), new DefaultProfileValidationSupport(R4),
        new InMemoryTerminologyServerValidationSupport(R4), new CommonCodeSystemsTerminologyService(R4), unknown,
        new SnapshotGeneratingValidationSupport(R4));
    FhirInstanceValidator engine = new FhirInstanceValidator(chain);
    engine.setNoExtensibleWarnings(true);
    engine.setAnyExtensionsAllowed(true);
    engine.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
    return R4.newValidator().registerValidatorModule(engine);
  }

  static Map<String, Object> judged(FhirValidator validator, String name) {
    Map<String, Object> said = new LinkedHashMap<>();
    said.put("file", name);
    List<Map<String, Object>> findings = new ArrayList<>();
    long began = System.nanoTime();
    try {
      for (SingleValidationMessage one : validator.validateWithResult(Files.readString(Path.of(name)), new ValidationOptions()).getMessages()) {
        Map<String, Object> finding = new LinkedHashMap<>();
        finding.put("severity", one.getSeverity() == null ? "error" : one.getSeverity().getCode());
        finding.put("path", one.getLocationString());
        finding.put("id", one.getMessageId());
        finding.put("message", one.getMessage());
        findings.add(finding);
      }
    } catch (Exception broken) {
      findings.add(Map.of("severity", "fatal", "path", "", "id", broken.getClass().getSimpleName(), "message", String.valueOf(broken.getMessage())));
    }
    said.put("findings", findings);
    said.put("milliseconds", (System.nanoTime() - began) / 1_000_000);
    return said;
  }

  public static void main(String[] words) throws Exception {
    PrintStream answers = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, StandardCharsets.UTF_8);
    System.setOut(System.err); // what libraries print is no answer
    FhirValidator validator = validator(Path.of(words[0]));
    BufferedReader asked = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String name = asked.readLine(); name != null; name = asked.readLine()) answers.println(JSON.toJson(judged(validator, name)));
  }
}
