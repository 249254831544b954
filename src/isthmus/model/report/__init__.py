"""The imaging report, cut where the data set is cut: one file a chapter (A.1 to A.8). Start at `document.py`.

Left out so far: specimen (A.4), adverse reactions and medication (A.5.2, A.5.3); their text stays in `sections`.
"""
