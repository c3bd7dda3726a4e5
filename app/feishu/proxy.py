"""Which proxy leads to an address, by the environment; none to this machine itself."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.request import getproxies, proxy_bypass

from yarl import URL


def proxy_to(address: str) -> URL | None:
    """By `https_proxy`, `http_proxy` and `no_proxy`, in small letters or capitals."""
    url = URL(address)
    host = url.host or ""
    # No proxy elsewhere can reach what listens here, and few people think of no_proxy.
    if _is_here(host) or proxy_bypass(host):
        return None
    found = getproxies().get(url.scheme)
    return URL(found if "://" in found else f"http://{found}") if found else None


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
