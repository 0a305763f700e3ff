"""Running a node: what `pushgate run` does once the configuration is read."""

import faulthandler
import os
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from pushgate import __version__, log
from pushgate.api.demo import demo_routes
from pushgate.config import Config, TenantConfig, TokenKeyConfig
from pushgate.errors import PushgateError
from pushgate.journal import Journal
from pushgate.node.banner import print_banner
from pushgate.node.check import demo_tenant
from pushgate.node.data_dir import DataDir
from pushgate.node.succession import Succession
from pushgate.node.supervisor import Supervisor
from pushgate.tenants.registry import hash_api_key, new_api_key

_log = log.get_logger("supervisor", lifecycle=True)


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
    path = Path(config.node.data_dir)
    data_dir = DataDir.open(path) if succession is None else DataDir.inherit(path, succession.lock)
    try:
        if zero_config:
            if config.cluster.nodes:
                _log.warning(
                    "without a configuration file each node of the cluster has keys of its own", keys="keys.json"
                )
            keys = data_dir.generated_keys()
            api_key = keys.api_key
            tenant = TenantConfig([hash_api_key(api_key)], [TokenKeyConfig("HS256", secret=keys.token_secret)])
        else:
            before = estate.demo_key if estate is not None else ""
            api_key = (before or new_api_key()) if config.management.demo else ""

        def prepare(config: Config) -> Config:
            if zero_config:
                return structs.replace(config, tenants={"default": tenant})
            return _add_demo_key(config, api_key) if api_key else config

        def announce(clients: tuple[str, int], management: tuple[str, int]) -> None:
            if zero_config and succession is None:
                print_banner(clients, management, api_key, config)

        config = prepare(config)
        return Supervisor(
            config,
            lambda: prepare(read()),
            data_dir,
            journal,
            lambda clients_port: (
                demo_routes(api_key, clients_port, bool(config.clients.tls_certificate))
                if config.management.demo
                else []
            ),
            announce,
            succession,
            "" if zero_config else api_key,
        ).run()
    except PushgateError:
        raise
    except Exception:
        _log.exception("the node failed")
        return 1
    finally:
        data_dir.close()


def _add_demo_key(config: Config, key: str) -> Config:
    """Give the demo page an API key of its own, good until the node stops; configured ones are known as hashes only."""
    name = demo_tenant(config)
    tenant = config.tenants[name]
    tenant = structs.replace(tenant, api_keys=[*tenant.api_keys, hash_api_key(key)])
    return structs.replace(config, tenants={**config.tenants, name: tenant})
