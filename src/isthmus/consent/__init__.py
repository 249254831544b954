"""May this be given: what the patient said (directives), what the country says (rules), and what follows (decision).

Country A's gate and the command `consent` come in. Start at `decision.py`, which is pure; `directives.py` keeps what was said.
"""
