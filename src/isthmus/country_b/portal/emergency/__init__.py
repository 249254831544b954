"""Emergency access at the portal: declared on a page of its own, which every person's page leads to from the same place.

The route table of `portal/app.py` comes in, at `declaring.py`.
"""
