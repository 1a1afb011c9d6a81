"""What a configuration means to the parts of the server, in their own terms."""

from pathlib import Path

from odxfs.configuration.model import (
    Configuration,
    ShareConfiguration,
    Signing,
    SvmConfiguration,
    TokenBounds,
)
from odxfs.offload_settings import OffloadSettings, TokenLimits
from odxfs.smb.settings import ServerSettings
from odxfs.smb.shares import Share


def server_settings(configuration: Configuration, name: str) -> ServerSettings:
    """The settings of the SMB server of the SVM `name`."""
    svm = configuration.svm[name]
    return ServerSettings(
        server_name=svm.server_name,
        signing_required=svm.signing is Signing.REQUIRED,
        encryption=svm.encryption,
        keytab=Path(svm.keytab) if svm.keytab else None,
        min_dialect=svm.min_dialect.revision,
        max_dialect=svm.max_dialect.revision,
        offload=_offload(svm, configuration.token_space),
    )


def token_limits(configuration: Configuration) -> TokenLimits:
    """The bounds of tokens that are read on mounts, and of the pool's table of tokens; those of an SVM come with its calls."""
    return _limits(configuration.tokens, configuration.token_space)


def declared_shares(svm: SvmConfiguration) -> list[Share]:
    """The shares that the configuration declares."""
    return [_share(name, share) for name, share in svm.share.items()]


def _share(name: str, share: ShareConfiguration) -> Share:
    return Share(
        name,
        volume=share.volume,
        path=share.path,
        comment=share.comment,
        read_only=share.read_only,
        copy_offload=share.copy_offload,
        encrypt_required=share.encrypt,
        offload_policy=share.offload_policy,
        continuously_available=share.continuously_available,
        access_based_enumeration=share.access_based_enumeration,
    )


def _offload(svm: SvmConfiguration, token_space: int) -> OffloadSettings:
    return OffloadSettings(
        enabled=svm.copy_offload,
        token_bytes=svm.token_size,
        smallest_file_bytes=svm.smallest_file,
        strict=svm.strict_offload,
        copychunk=svm.copychunk,
        limits=_limits(svm.tokens, token_space),
    )


def _limits(tokens: TokenBounds, token_space: int) -> TokenLimits:
    return TokenLimits(
        default_lifetime=tokens.default_lifetime,
        shortest_lifetime=tokens.shortest_lifetime,
        longest_lifetime=tokens.longest_lifetime,
        tokens_per_volume=tokens.per_volume,
        tokens_per_svm=tokens.per_svm,
        tokens_per_client=tokens.per_client,
        pinned_bytes_per_volume=tokens.pinned_per_volume,
        pinned_bytes_per_svm=tokens.pinned_per_svm,
        pinned_bytes_per_client=tokens.pinned_per_client,
        pinned_only_bytes=token_space,
    )
