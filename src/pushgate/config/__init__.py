"""The configuration of a node.

settings    what can be set, and its defaults; what can be for a `tenant`
loading     where a value comes from, and what is wrong with it
hiding      how it is shown without secrets; all of it, to people, by `showing`
"""

from pushgate.config.hiding import shown_url
from pushgate.config.loading import Loaded, load, load_with_origins
from pushgate.config.settings import (
    BusConfig,
    ClientsConfig,
    ClusterConfig,
    Config,
    InboxConfig,
    LimitsConfig,
    LogConfig,
    ManagementConfig,
    NodeConfig,
    TracingConfig,
)
from pushgate.config.tenant import TenantConfig, TokenKeyConfig

__all__ = [
    "BusConfig",
    "ClientsConfig",
    "ClusterConfig",
    "Config",
    "InboxConfig",
    "LimitsConfig",
    "Loaded",
    "LogConfig",
    "ManagementConfig",
    "NodeConfig",
    "TenantConfig",
    "TokenKeyConfig",
    "TracingConfig",
    "load",
    "load_with_origins",
    "shown_url",
]
