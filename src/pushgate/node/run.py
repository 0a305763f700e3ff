"""Running a node: what `pushgate run` does once the configuration is read."""

import faulthandler
import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

from litestar.types import ControllerRouterHandler
from msgspec import structs

from pushgate import __version__, log
from pushgate.api.demo import demo_routes
from pushgate.config import Config, TenantConfig, TokenKeyConfig
from pushgate.errors import PushgateError
from pushgate.journal import Journal
from pushgate.node.banner import print_banner
from pushgate.node.check import demo_tenant
from pushgate.node.data_dir import DataDir
from pushgate.node.handover.heritage import Estate
from pushgate.node.handover.succession import Succession
from pushgate.node.supervisor import Supervisor
from pushgate.tenants.registry import hash_api_key, new_api_key

_log = log.get_logger("supervisor", lifecycle=True)

Complete = Callable[[Config], Config]
"""Gives a configuration the keys that the node made itself."""


def run(read: Callable[[], Config], zero_config: bool) -> int:
    """Run a node until it is told to stop; returns the exit status.

    `read` returns the configuration as it stands, now and at each reload. With `zero_config` the tenant `default` has
    the keys generated in the data directory, and how to use the node is printed. Raises PushgateError for whatever
    keeps the node from starting.
    """
    succession = Succession.inherited(os.environ)
    try:
        return _run(read, zero_config, succession)
    except PushgateError as error:
        if succession is not None:
            succession.give_up(str(error))
        raise


def _run(read: Callable[[], Config], zero_config: bool, succession: Succession | None) -> int:
    config = read()
    estate = succession.ask() if succession is not None else None
    journal = Journal(succession.journal if succession is not None else -1)
    log.set_up(config.log.level, config.log.style, journal)
    _log.info("starting", version=__version__, pid=os.getpid())
    faulthandler.enable()  # whoever crashes or is aborted says where it was
    _raise_file_limit()
    path = Path(config.node.data_dir)
    data_dir = DataDir.open(path) if succession is None else DataDir.inherit(path, succession.lock)
    try:
        api_key, complete = _generated_key(config, data_dir) if zero_config else _demo_key(config, estate)

        def announce(clients: tuple[str, int], management: tuple[str, int]) -> None:
            if zero_config and succession is None:
                print_banner(clients, management, api_key, config)

        def extra_routes(clients_port: int) -> Sequence[ControllerRouterHandler]:
            secure = bool(config.clients.tls_certificate)
            return demo_routes(api_key, clients_port, secure) if config.management.demo else []

        return Supervisor(
            complete(config),
            lambda: complete(read()),
            data_dir,
            journal,
            extra_routes,
            announce,
            succession,
            demo_key="" if zero_config else api_key,
        ).run()
    except PushgateError:
        raise
    except Exception:
        _log.exception("the node failed")
        return 1
    finally:
        data_dir.close()


def _generated_key(config: Config, data_dir: DataDir) -> tuple[str, Complete]:
    """Return the API key in the data directory; the tenant `default` is given it."""
    if config.cluster.nodes:
        _log.warning("without a configuration file each node of the cluster has keys of its own", keys="keys.json")
    keys = data_dir.generated_keys()
    tenant = TenantConfig([hash_api_key(keys.api_key)], [TokenKeyConfig("HS256", secret=keys.token_secret)])
    return keys.api_key, lambda config: structs.replace(config, tenants={"default": tenant})


def _demo_key(config: Config, estate: Estate | None) -> tuple[str, Complete]:
    """Return an API key of the demo page's own, good until the node stops: of configured ones only hashes are known."""
    if not config.management.demo:
        return "", lambda config: config
    key = (estate.demo_key if estate is not None else "") or new_api_key()

    def complete(config: Config) -> Config:
        name = demo_tenant(config)
        tenant = config.tenants[name]
        tenant = structs.replace(tenant, api_keys=[*tenant.api_keys, hash_api_key(key)])
        return structs.replace(config, tenants={**config.tenants, name: tenant})

    return key, complete


def _raise_file_limit() -> None:
    """Let each process of the node open as many files as it may at all."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
