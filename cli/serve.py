"""`thinkrec serve`."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_address
from socket import socket

import click

from thinkrec_cli.common import dataset_option, retrievers, system_option


@click.command("serve")
@dataset_option
@system_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to answer at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one."
)
@click.option(
    "--from",
    "candidates",
    metavar="ENCODER:N",
    shell_complete=retrievers,
    help="Candidates that a language model ranks where a request names none: the N best of an encoder.  "
    "[default: 50 of one that reads histories, if trained, else of `cluster.encoder`]",
)
def command(dataset: str, system: str, host: str, port: int, candidates: str | None) -> None:
    """Serve a trained system: a web page, and scores, rankings and explanations over HTTP.

    Open the address that it prints. /openapi.json describes the routes. With the environment variable
    THINKREC_TOKEN, requests must carry that token; other machines can ask only then. Ctrl-C or SIGTERM stops
    it when the requests in progress are answered.
    """
    from thinkrec.errors import ConfigError

    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "prometheus_client")):
        raise ConfigError("`thinkrec serve` needs more packages: run `pip install 'thinkrec[serve]'`")
    from thinkrec.config.load import dataset_source, load_params
    from thinkrec.layout import Layout
    from thinkrec.recommender import load
    from thinkrec.serve.limits import Limits
    from thinkrec.serve.server import bound, read_token, serve, shortlist, trained
    from thinkrec.serve.service import Service, checked_default
    from thinkrec.systems.registry import SYSTEMS, entry

    token = read_token()
    taken = bound(host, port, token)
    params, layout = load_params(), Layout(dataset)
    dataset_source(params, dataset)
    entry(system)
    if candidates is not None:  # loading takes long, so what is wrong is said before
        checked_default(candidates, trained(layout))
    rec = load(dataset=dataset, system=system)
    if candidates is None and SYSTEMS[system].kind == "language model":
        candidates = shortlist(layout, params.cluster.encoder)
    service = Service(rec, Limits(), candidates, trained(layout))
    where = reached(host, taken)
    serve(service, taken, token, lambda: click.echo(f"serve: {system} of {dataset} {where}"), host)


def reached(host: str, taken: socket) -> str:
    """Say where a server answers, by an address that a browser opens; 0.0.0.0 and :: are none."""
    address, port = taken.getsockname()[:2]
    everywhere = ip_address(address).is_unspecified
    if everywhere:
        host = "[::1]" if ":" in address else "127.0.0.1"
    elif ":" in host:
        host = f"[{host}]"
    return f"{'listens on all addresses and ' if everywhere else ''}answers at http://{host}:{port}"
