"""Watches on directories for CHANGE_NOTIFY."""
