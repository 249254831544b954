"""Real counterparts for tests, each started in a folder of its own on free ports of this machine and stopped again.

They are programs of others (Orthanc, dcmtk), never part of what is shipped. Start at `orthanc.py`; `counterparts.py` says what happens
where one is not installed.
"""
