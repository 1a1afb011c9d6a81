"""NTLMv2 inside SPNEGO, and the users who may log in."""
