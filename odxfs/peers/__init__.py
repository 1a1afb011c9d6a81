"""Copies between pools: fetching what another server's token stands for. See README.md in this folder."""

from odxfs.peers.fetcher import Fetcher
from odxfs.peers.peer import Peer
from odxfs.peers.probe import probe_peer
from odxfs.peers.store import PeerStore

__all__ = ["Fetcher", "Peer", "PeerStore", "probe_peer"]
