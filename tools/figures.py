"""Draw the figures of the documentation as SVG. Run by hand; the files are committed.

python tools/figures.py
"""

from __future__ import annotations

from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "figures"
INK, SOFT, SEA, LAND, LINE = "#1d2328", "#5c6670", "#0f5c73", "#f4f1ec", "#c9c2b8"
STYLE = f"""text{{font-family:'Sofia Sans',system-ui,sans-serif;font-size:14px;fill:{INK}}}
.h{{font-weight:650;font-size:15px}} .s{{fill:{SOFT};font-size:12.5px}} .c{{fill:{SEA};font-weight:600}}
.b{{fill:#fff;stroke:{LINE}}} .p{{fill:{LAND};stroke:{LINE}}} .d{{fill:none;stroke:{SOFT};stroke-dasharray:5 4}}
.l{{fill:none;stroke:{SEA};stroke-width:1.6}} .a{{fill:{SEA}}}"""


class Drawing:
    """Boxes, arrows and words, collected as SVG."""

    def __init__(self, width: int, height: int, title: str, says: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
            f'aria-labelledby="t d"><title id="t">{escape(title)}</title><desc id="d">{escape(says)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect width="{width}" height="{height}" fill="#fffdf9"/>',
        ]

    def box(self, x: int, y: int, w: int, h: int, head: str, *lines: str, kind: str = "b") -> None:
        self._parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{w}" height="{h}" rx="8"/>')
        self.words(x + 14, y + 24, head, kind="h")
        for place, line in enumerate(lines):
            self.words(x + 14, y + 45 + 18 * place, line, kind="s")

    def words(self, x: int, y: int, text: str, kind: str = "", anchor: str = "start") -> None:
        self._parts.append(f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>')

    def arrow(
        self, *points: tuple[int, int], both: bool = False, label: str = "", at: tuple[int, int] | None = None
    ) -> None:
        path = " ".join(f"{'M' if i == 0 else 'L'}{x} {y}" for i, (x, y) in enumerate(points))
        self._parts.append(f'<path class="l" d="{path}"/>')
        self._head(points[-2], points[-1])
        if both:
            self._head(points[1], points[0])
        if label and at:
            self.words(*at, label, kind="c", anchor="middle")

    def _head(self, before: tuple[int, int], tip: tuple[int, int]) -> None:
        dx, dy = tip[0] - before[0], tip[1] - before[1]
        long = max((dx * dx + dy * dy) ** 0.5, 1)
        ux, uy = dx / long, dy / long
        x, y = tip
        corners = [(x, y), (x - 10 * ux - 5 * uy, y - 10 * uy + 5 * ux), (x - 10 * ux + 5 * uy, y - 10 * uy - 5 * ux)]
        self._parts.append(
            '<path class="a" d="M{} {}L{} {}L{} {}Z"/>'.format(*(round(v, 1) for corner in corners for v in corner))
        )

    def line(self, *points: tuple[int, int], kind: str = "d") -> None:
        path = " ".join(f"{'M' if i == 0 else 'L'}{x} {y}" for i, (x, y) in enumerate(points))
        self._parts.append(f'<path class="{kind}" d="{path}"/>')

    def write(self, name: str) -> None:
        HERE.mkdir(parents=True, exist_ok=True)
        (HERE / name).write_text("\n".join([*self._parts, "</svg>"]) + "\n", encoding="utf-8")


def together() -> None:
    """How metadata, manifest, report and images hang together, and what must hold before."""
    d = Drawing(
        1120,
        720,
        "How metadata, manifest, report and images hang together",
        "Identity, trust and consent hold before anything is given. The list of metadata names reports and manifests; the "
        "manifest names series and instances; report and study are joined by study UID and accession number with issuer.",
    )
    d.words(24, 36, "What must hold before", kind="h")
    gates = (
        ("Trust", "both countries on the signed list,", "active now; mutual TLS, pinned keys"),
        ("Who asks", "professional signed in; role,", "organisation, purpose stated and signed"),
        ("Who it is about", "one person found by the country's own", "search mask; compared; a handle from there on"),
        ("Why", "identity checked, notice given,", "treatment relationship confirmed"),
        ("Consent", "asked at every request; opted out or", "restricted is as if it were not there"),
        ("Proof", "a record is durable before the first", "byte, closed after the last, on both sides"),
    )
    for place, (head, *lines) in enumerate(gates):
        d.box(24 + (place % 3) * 362, 52 + (place // 3) * 96, 348, 84, head, *lines, kind="p")
    d.line((24, 256), (1096, 256))
    d.words(24, 286, "What is given, one step at a time", kind="h")
    d.box(24, 304, 300, 176, "Metadata: the list", "DocumentReference, ITI-67", "kind, date, modality, region, status", "study UID · accession number + issuer",
          "counts and size, so that a list can be", "drawn without opening anything", "address under Country A's border")  # fmt: skip
    d.box(
        420, 304, 300, 96, "Imaging report", "FHIR document Bundle, ITI-68", "structured, with the PDF as issued inside"
    )
    d.box(
        420,
        500,
        300,
        132,
        "Manifest of a study",
        "FHIR document Bundle (MADO), ITI-68",
        "every series and instance, counts,",
        "regions, order; an UID that follows",
        "from the content",
    )
    d.box(
        816,
        500,
        280,
        132,
        "Images",
        "WADO-RS, RAD-107",
        "study, series or instance",
        "as stored, byte for byte; three syntaxes",
        "cross in an Explicit-LE form, and say so",
    )
    d.box(816, 304, 280, 96, "Original as issued", "PDF, byte for byte", "one key away from the structured text")
    d.arrow((324, 350), (420, 350), label="opens", at=(372, 342))
    d.arrow((324, 460), (372, 460), (372, 560), (420, 560), label="opens", at=(372, 578))
    d.arrow((720, 350), (816, 350), label="holds", at=(768, 342))
    d.arrow((720, 566), (816, 566), label="names", at=(768, 558))
    d.arrow((570, 400), (570, 500), both=True)
    d.words(556, 440, "study UID, accession number", kind="c", anchor="end")
    d.words(556, 460, "with issuer: never an address", kind="c", anchor="end")
    d.arrow((660, 400), (660, 478), (956, 478), (956, 500))
    d.words(820, 470, "key image: instance UID", kind="c")
    d.words(
        24,
        680,
        "Addresses in documents are compared with the trust list and never followed: Country B builds every address itself from UIDs and ids.",
        kind="s",
    )
    d.words(24, 700, "A study or a report may come alone; a country may begin with either.", kind="s")
    d.write("together.svg")


def request() -> None:
    """How a request travels through both NCPeHs."""
    d = Drawing(
        1120,
        760,
        "How a request travels through both NCPeHs",
        "From the portal in Country B through visit, token, client and outbound connection across the border to Country A's "
        "gate, verb and national connector, and back.",
    )
    d.box(24, 24, 500, 700, "Country B · requesting NCPeH", kind="p")
    d.box(596, 24, 500, 700, "Country A · responding NCPeH", kind="p")
    left = (
        (64, "portal/ or `isthmus visit`", "signed in; the visit: who, for whom, why"),
        (148, "documents.py", "find_documents(visit, country, query)"),
        (232, "tokens.py", "statements on professional and relationship, signed"),
        (316, "wire/documents.py", "the query in the border's words"),
        (400, "client.py", "directory: still trusted? · trail: opened, durable"),
        (484, "transport/outbound.py", "mutual TLS 1.3; the pin before the first byte"),
        (568, "wire/documents.py · arrivals.py", "read tolerantly; bounds, digests, whose it is"),
        (652, "pairing → page or JSON", "trail: closed with what came"),
    )
    for y, head, line in left:
        d.box(48, y, 452, 64, head, line)
    right = (
        (64, "transport/inbound.py", "exchange id; limits; headers; one place for errors"),
        (148, "gate.py", "peer active now · token ours, on this certificate, in time"),
        (232, "consent/decision.py", "may it be given, now? asked at every request"),
        (316, "audit/trail.py", "opened: durable, or nothing is given"),
        (400, "country_a/documents.py", "patient asked for = patient attested"),
        (484, "national/ connector", "the country's registers, archive, repositories"),
        (568, "releasable() · wire/documents.py", "what may not be given drops out, silently"),
        (652, "transport/pump.py", "moved, watched for the hang-up; trail: closed"),
    )
    for y, head, line in right:
        d.box(620, y, 452, 64, head, line)
    for column in (274, 846):
        for y in (128, 212, 296, 380, 464, 548, 632):
            if (column, y) != (274, 548):
                d.arrow((column, y), (column, y + 20))
    d.arrow((500, 516), (560, 516), (560, 96), (620, 96))
    d.arrow((620, 684), (548, 684), (548, 600), (500, 600))
    d.line((560, 24), (560, 60), kind="d")
    d.words(560, 18, "border", kind="c", anchor="middle")
    d.words(
        24,
        748,
        "Down once, up once: each step calls the next, nothing calls back. The same exchange id stands in both trails.",
        kind="s",
    )
    d.write("request.svg")


if __name__ == "__main__":
    together()
    request()
