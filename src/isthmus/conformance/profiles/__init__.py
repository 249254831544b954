"""Official FHIR packages that an operator supplies, and resources held against their profiles.

Start at `claims.py`; a package comes in by `packages.py`. What is not checked is told as a finding, never passed over.

Source: R4.
"""
