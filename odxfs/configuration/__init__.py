"""What one serving process does, as one TOML file says it; see README.md in this folder."""

from odxfs.configuration.endpoint import Endpoint
from odxfs.configuration.model import (
    DEFAULT_SVM,
    Configuration,
    DialectName,
    Profile,
    ShareConfiguration,
    Signing,
    SvmConfiguration,
    TokenBounds,
)
from odxfs.configuration.problems import ConfigurationError, Problem
from odxfs.configuration.reading import FILE_NAME, parse_configuration, read_configuration

__all__ = [
    "DEFAULT_SVM",
    "FILE_NAME",
    "Configuration",
    "ConfigurationError",
    "DialectName",
    "Endpoint",
    "Problem",
    "Profile",
    "ShareConfiguration",
    "Signing",
    "SvmConfiguration",
    "TokenBounds",
    "parse_configuration",
    "read_configuration",
]
