"""Who sits at the screen: sign-in, and the session that follows.

Country B's portal and the commands that stand in for it come in. A national identity service is one provider
(`oidc.py`); the demo's accounts are another, and no node in production takes them. Start at `provider.py`.

Source: trust.md §2.13, §2.14.
"""
