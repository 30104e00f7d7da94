"""Clients of HTTP that read no certificates: no test speaks TLS with what it starts itself."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def no_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """httpx reads those of all authorities for every client: 30 ms, however short its life."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("authorities")))
        yield
