"""Which transport an endpoint asks for."""

from __future__ import annotations

from peakbench.client.address import check_url, display_url
from peakbench.client.base import Endpoint, Transport

__all__ = ["display_url", "open_transport"]


def open_transport(endpoint: Endpoint) -> Transport:
    """Return the transport that the endpoint names; it connects with the first request.

    Raises:
        ConfigError: the URL, the proxy or the CA file cannot be used.
        MissingDependency: the openai SDK is asked for and not installed.
    """
    check_url(endpoint.url, where="endpoint")
    if endpoint.proxy is not None:
        check_url(endpoint.proxy, where="proxy")
    if endpoint.transport == "openai":
        from peakbench.client.sdk import OpenAITransport

        return OpenAITransport(endpoint)
    from peakbench.client.http import AiohttpTransport

    return AiohttpTransport(endpoint)
