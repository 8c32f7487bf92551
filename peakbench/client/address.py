"""Where an endpoint is: its URL in three forms, what of it must stay secret, and whose certificates are trusted."""

from __future__ import annotations

import ssl
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from peakbench.client.base import Endpoint
from peakbench.errors import ConfigError


def completions_url(endpoint: Endpoint) -> str:
    """Return the URL that chat completions are posted to, query kept.

    Raises:
        ConfigError: it is not an http or https URL.

    >>> completions_url(Endpoint("http://127.0.0.1:8000/v1/", "m"))
    'http://127.0.0.1:8000/v1/chat/completions'
    """
    parts = check_url(endpoint.url, where="endpoint")
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions"
    return urlunsplit(parts._replace(path=path, fragment=""))


def display_url(endpoint: Endpoint) -> str:
    """Return the URL for people and run.json: without user, password and fragment, of the query only the API version.

    >>> display_url(Endpoint("https://me:secret@host/v1?api-version=2024-10-21&key=1", "m"))
    'https://host/v1?api-version=2024-10-21'
    """
    parts = check_url(endpoint.url, where="endpoint")
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name == "api-version"])
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def secrets_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Return what must never show in a message: the key, header values, and passwords and queries of URLs."""
    # a header's value whole, and without "Bearer" or "Basic" before it: servers quote either
    values = endpoint.headers.values()
    found = [endpoint.api_key, *values, *(value.rpartition(" ")[2] for value in values)]
    for url in (endpoint.url, endpoint.proxy):
        if url:
            parts = urlsplit(url)
            found += [parts.password]
            found += [value for name, value in parse_qsl(parts.query) if name != "api-version"]
    # short ones ("1", "true", "2024-06") are no secrets, and would tear holes into every message
    return tuple(sorted({secret for secret in found if secret and len(secret) >= 8}, key=len, reverse=True))


def tls_context(endpoint: Endpoint) -> ssl.SSLContext | bool:
    """Return how certificates are checked: the system's authorities, and those of ``ca_file`` beside them.

    Raises:
        ConfigError: the CA file is missing or holds no certificate.
    """
    if endpoint.ca_file is None:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=endpoint.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"the CA file cannot be used: {error.strerror or error}",
            where=endpoint.ca_file,
            expected="a PEM file with one or more certificates",
        ) from None
    return context


def check_url(url: str, *, where: str) -> SplitResult:
    """Return the parts of an http or https URL; ``where`` names the setting that holds it.

    Raises:
        ConfigError: it is not one, with what was probably meant.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        shown = url.rpartition("@")[2]
        hint = f"did you mean 'http://{shown}'?" if shown and "://" not in url else None
        raise ConfigError(
            f"'{shown}' is not a URL that can be used",
            where=where,
            expected="http://host:port/v1 or https://host/v1",
            hint=hint,
        )
    return parts
