"""Every promise of SECURITY.md as a test; see conftest.py."""
