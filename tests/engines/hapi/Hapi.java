// A FHIR R4 repository in memory, made of HAPI's own server, storage and pages. What is searched here are the parameters that the gateway asks by.
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.annotation.OptionalParam;
import ca.uhn.fhir.rest.annotation.RequiredParam;
import ca.uhn.fhir.rest.annotation.Search;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.param.ReferenceOrListParam;
import ca.uhn.fhir.rest.param.TokenOrListParam;
import ca.uhn.fhir.rest.param.TokenParam;
import ca.uhn.fhir.rest.server.FifoMemoryPagingProvider;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.HashMapResourceProvider;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.stream.Collectors;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.*;

public class Hapi {
  static final FhirContext R4 = FhirContext.forR4();

  static boolean holds(List<Identifier> held, TokenParam asked) {
    return held.stream().anyMatch(one -> (asked.getSystem() == null || asked.getSystem().equals(one.getSystem()))
        && asked.getValue().equals(one.getValue()));
  }

  static boolean coded(CodeableConcept held, TokenOrListParam asked) {
    return asked == null || asked.getValuesAsQueryTokens().stream().anyMatch(token -> held.getCoding().stream()
        .anyMatch(one -> token.getValue().equals(one.getCode())
            && (token.getSystem() == null || token.getSystem().equals(one.getSystem()))));
  }

  static boolean about(Reference subject, ReferenceOrListParam asked) {
    return asked.getValuesAsQueryTokens().stream()
        .anyMatch(one -> ("Patient/" + one.getIdPart()).equals(subject.getReference()));
  }

  public static class Patients extends HashMapResourceProvider<Patient> {
    public Patients() { super(R4, Patient.class); }

    @Search
    public List<IBaseResource> find(@RequiredParam(name = "identifier") TokenParam identifier) {
      return getStoredResources().stream().filter(one -> holds(one.getIdentifier(), identifier)).collect(Collectors.toList());
    }
  }

  public static class Documents extends HashMapResourceProvider<DocumentReference> {
    public Documents() { super(R4, DocumentReference.class); }

    @Search
    public List<IBaseResource> find(@RequiredParam(name = "patient") ReferenceOrListParam patient,
        @OptionalParam(name = "type") TokenOrListParam type) {
      return getStoredResources().stream().filter(one -> about(one.getSubject(), patient) && coded(one.getType(), type))
          .collect(Collectors.toList());
    }
  }

  public static class Reports extends HashMapResourceProvider<DiagnosticReport> {
    public Reports() { super(R4, DiagnosticReport.class); }

    @Search
    public List<IBaseResource> find(@RequiredParam(name = "patient") ReferenceOrListParam patient,
        @OptionalParam(name = "code") TokenOrListParam code, @OptionalParam(name = "category") TokenOrListParam category) {
      return getStoredResources().stream()
          .filter(one -> about(one.getSubject(), patient) && coded(one.getCode(), code)
              && (category == null || one.getCategory().stream().anyMatch(held -> coded(held, category))))
          .collect(Collectors.toList());
    }
  }

  public static void main(String[] words) throws Exception {
    RestfulServer repository = new RestfulServer(R4);
    repository.setResourceProviders(new Patients(), new Documents(), new Reports(),
        new HashMapResourceProvider<>(R4, Binary.class), new HashMapResourceProvider<>(R4, Bundle.class),
        new HashMapResourceProvider<>(R4, ImagingStudy.class), new HashMapResourceProvider<>(R4, AuditEvent.class));
    FifoMemoryPagingProvider pages = new FifoMemoryPagingProvider(100);
    pages.setDefaultPageSize(20);
    pages.setMaximumPageSize(100);
    repository.setPagingProvider(pages);
    repository.setDefaultResponseEncoding(EncodingEnum.JSON);
    Server server = new Server(new InetSocketAddress(words[0], Integer.parseInt(words[1])));
    ServletContextHandler context = new ServletContextHandler();
    context.addServlet(new ServletHolder(repository), "/fhir/*");
    server.setHandler(context);
    server.start();
    System.out.println("ready");
    server.join();
  }
}
