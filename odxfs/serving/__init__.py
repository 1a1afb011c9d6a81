"""The composition root: one pool with its mount, its SVMs and its control socket, in one trio.run; see README.md here."""

from odxfs.serving.errors import single_errors
from odxfs.serving.live import Live, LiveSvm
from odxfs.serving.process import Serving, ServingOptions, serve

__all__ = ["Live", "LiveSvm", "Serving", "ServingOptions", "serve", "single_errors"]
