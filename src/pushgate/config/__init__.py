"""The configuration of a node.

settings    what can be set, and its defaults
loading     where a value comes from, and what is wrong with it
"""

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
    TenantConfig,
    TokenKeyConfig,
    TracingConfig,
    shown_url,
)

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
