"""The EU imaging report on the wire, one file a chapter, the names of `model/report/`. Start at `document.py`.

A chapter writes its resources into the `Binder` of the Bundle and reads them from the `Opened` one (`binding.py`).

Source: EU imaging report (BundleReportEuImaging); wire.md §2.
"""
