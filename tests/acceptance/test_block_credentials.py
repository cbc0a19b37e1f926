"""The keys of a bucket come from a block that prefect-aws defines, and nothing from the environment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from prefect_aws.client_parameters import AwsClientParameters
from prefect_aws.credentials import AwsCredentials, MinIOCredentials

from registry.blocks import ModelRegistry
from registry.exceptions import ArtifactStoreUnavailable, BlockNotFound, InvalidBlock
from registry.tasks import open_registry
from tests.examples import fit, make_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registry import Registry
    from tests.servers.seaweedfs import SeaweedFSServer


@pytest.fixture
def bucket(make_bucket: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that boto3 can't find by itself."""
    name = make_bucket()
    for lead in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(lead)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return name


@pytest.fixture
def save_aws(seaweedfs_server: SeaweedFSServer) -> Callable[..., str]:
    """Save the keys of the server as AWS's, some of them replaced."""
    server = seaweedfs_server

    def save(*, client: dict[str, Any] | None = None, **replaced: str) -> str:
        keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key}
        parameters = {"endpoint_url": server.environment["AWS_ENDPOINT_URL"]} | (client or {})
        AwsCredentials(
            **keys | {"region_name": "us-east-1"} | replaced,
            aws_client_parameters=AwsClientParameters(**parameters),
        ).save("keys", overwrite=True)
        return "aws-credentials/keys"

    return save


@pytest.fixture
def save_minio(seaweedfs_server: SeaweedFSServer) -> Callable[[], str]:
    """Save the keys of the server as MinIO's."""

    def save() -> str:
        MinIOCredentials(
            minio_root_user=seaweedfs_server.access_key,
            minio_root_password=seaweedfs_server.secret_key,
            region_name="us-east-1",
            aws_client_parameters=AwsClientParameters(
                endpoint_url=seaweedfs_server.environment["AWS_ENDPOINT_URL"]
            ),
        ).save("keys", overwrite=True)
        return "minio-credentials/keys"

    return save


@pytest.fixture
def in_bucket(bucket: str, tmp_path: Path) -> Callable[[str], Registry]:
    """Save a registry in the bucket with these credentials, and open it by its name."""

    def opened(credentials: str) -> Registry:
        ModelRegistry(
            database=f"sqlite:///{tmp_path}/registry.db",
            artifacts=f"s3://{bucket}/models",
            credentials=credentials,
        ).save("in-bucket", overwrite=True)
        return open_registry("in-bucket")

    return opened


@pytest.mark.parametrize("kind", ["aws", "minio"])
def test_a_model_is_registered_and_loaded_with_saved_keys_alone(
    kind: str, in_bucket: Callable[[str], Registry], request: pytest.FixtureRequest
) -> None:
    dataset = make_dataset()
    estimator = fit(dataset)
    with in_bucket(request.getfixturevalue(f"save_{kind}")()) as registry:
        version = registry.register("churn", estimator, trained_on=dataset)
        predicted = registry.load(version.reference).predict(dataset.features)
    np.testing.assert_array_equal(predicted, estimator.predict(dataset.features))


def test_without_saved_keys_the_same_bucket_is_out_of_reach(in_bucket: Callable[[str], Registry]) -> None:
    dataset = make_dataset()
    with (
        in_bucket("") as registry,
        pytest.raises(ArtifactStoreUnavailable, match="or name a credentials block"),
    ):
        registry.register("churn", fit(dataset), trained_on=dataset)


def test_a_wrong_key_is_refused_with_where_to_look(
    in_bucket: Callable[[str], Registry], save_aws: Callable[..., str]
) -> None:
    dataset = make_dataset()
    with (
        in_bucket(save_aws(aws_secret_access_key="wrong")) as registry,  # noqa: S106, it opens nothing
        pytest.raises(ArtifactStoreUnavailable, match="or the keys of the credentials block"),
    ):
        registry.register("churn", fit(dataset), trained_on=dataset)


@pytest.mark.parametrize(
    ("client", "refusal"),
    [
        ({"endpoint_url": "nonsense"}, "Invalid endpoint: nonsense"),
        ({"config": {"patience": 1}}, "unexpected keyword argument 'patience'"),
        ({"config": {"s3": {"addressing_style": "sideways"}}}, "sideways"),
    ],
)
def test_parameters_that_no_client_takes_are_refused(
    client: dict[str, Any], refusal: str, in_bucket: Callable[[str], Registry], save_aws: Callable[..., str]
) -> None:
    with pytest.raises(InvalidBlock, match=rf"'aws-credentials/keys' can't be used: .*{refusal}"):
        in_bucket(save_aws(client=client))


def test_keys_that_nobody_saved_are_named(in_bucket: Callable[[str], Registry]) -> None:
    with pytest.raises(BlockNotFound, match="'minio-credentials/nobodys'"):
        in_bucket("minio-credentials/nobodys")


def test_without_the_extra_the_refusal_says_how_to_install_it(
    in_bucket: Callable[[str], Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prefect_aws.credentials", None)
    with pytest.raises(InvalidBlock, match=r"pip install 'prefect-model-registry\[aws\]'"):
        in_bucket("aws-credentials/keys")


def test_a_folder_needs_no_keys(tmp_path: Path) -> None:
    block = ModelRegistry(
        database=f"sqlite:///{tmp_path}/registry.db",
        artifacts=str(tmp_path),
        credentials="aws-credentials/nobodys",
    )
    with block.open() as registry:
        assert registry.models() == []
