"""What prefect-aws's credentials say of a client goes before what the registry would choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from prefect_aws.client_parameters import AwsClientParameters
from prefect_aws.credentials import AwsCredentials

from registry.artifacts.s3 import connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ELSEWHERE = "https://storage.nowhere.invalid"


@pytest.fixture(autouse=True)
def _nothing_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for own in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(own, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")


def client_of(*, region: str | None = "eu-central-1", **parameters: Any) -> S3Client:
    credentials = AwsCredentials(
        aws_access_key_id="key",
        aws_secret_access_key="secret",  # noqa: S106, it opens nothing
        region_name=region,
        aws_client_parameters=AwsClientParameters(**parameters),
    )
    return connect(credentials.get_boto3_session(), credentials.aws_client_parameters.get_params_override())


def test_the_region_is_the_credentials() -> None:
    client = client_of(region="eu-central-1")
    assert client.meta.region_name == "eu-central-1"
    assert client.meta.endpoint_url == "https://s3.eu-central-1.amazonaws.com"


def test_an_endpoint_of_ones_own_is_addressed_by_path() -> None:
    client = client_of(endpoint_url=ELSEWHERE)
    assert client.meta.endpoint_url == ELSEWHERE
    assert vars(client.meta.config)["s3"] == {"addressing_style": "path"}


def test_an_addressing_style_that_was_asked_for_is_kept() -> None:
    client = client_of(endpoint_url=ELSEWHERE, config={"s3": {"addressing_style": "virtual"}})
    assert vars(client.meta.config)["s3"] == {"addressing_style": "virtual"}


def test_only_the_patience_that_was_asked_for_replaces_the_usual() -> None:
    config = vars(client_of(config={"read_timeout": 7}).meta.config)
    assert (config["connect_timeout"], config["read_timeout"]) == (5, 7)
    assert config["retries"]["total_max_attempts"] == 5
