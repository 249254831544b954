"""What all pages share: templates and how they are rendered, languages, forms, static files, the cleaning of foreign HTML.

The faces that have pages come in (`country_b/portal/`, later `operations/` and the citizen's). Start at `render.py`; the look is
`static/portal.css`, every string is a gettext message in English with a catalogue per language under `locales/`.
"""
