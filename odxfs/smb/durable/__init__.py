"""Opens that outlive their connection, and requests that are sent again. README.md says how it fits together."""
