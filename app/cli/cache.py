"""`feishu-hub cache`: what the cache is asked, and which tier answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir
from app.cli.stores import with_stores
from app.cli.tables import print_json, print_rows

if TYPE_CHECKING:
    from app.wiring import Stores

app = typer.Typer(help="The cache in front of Feishu and slow sources.", no_args_is_help=True)


@app.callback()
def cache() -> None:
    """The cache in front of Feishu and slow sources."""


@app.command()
def stats(config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Reads of all nodes by tier, since the cache was last unused for a week; a few seconds old."""

    async def work(stores: Stores) -> dict[str, dict[str, int]]:
        from app.storage.cache_counts import cache_stats

        return await cache_stats(stores.link, stores.keys)

    tiers = with_stores(config, data_dir, work)
    if as_json:
        print_json(tiers)
    else:
        rows = [_row(tier, outcomes) for tier, outcomes in tiers.items() if outcomes]
        print_rows(rows, ("tier", "hit", "miss", "failed", "hits_%"), none="nothing was read from the cache yet")


def _row(tier: str, outcomes: dict[str, int]) -> dict[str, Any]:
    hits = outcomes.get("hit", 0)
    return {
        "tier": tier,
        "hit": hits,
        "miss": outcomes.get("miss", 0),
        "failed": outcomes.get("failed", 0) + outcomes.get("away", 0),
        "hits_%": f"{100 * hits / max(1, sum(outcomes.values())):.1f}",
    }
