"""What boto3 raises, told apart in one place: expected answers, those worth another try, and what to do."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from botocore import exceptions as boto

from registry.exceptions import ArtifactStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MISSING = {"404", "NoSuchKey"}
CHANGED_ON_THE_WAY = {"BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"}
WORTH_ANOTHER_UPLOAD = {*CHANGED_ON_THE_WAY, "ConditionalRequestConflict", "NoSuchUpload"}
BROKEN_STREAM = (boto.IncompleteReadError, boto.ReadTimeoutError, boto.ResponseStreamingError)

_REACH_IT = "check AWS_ENDPOINT_URL, or the credentials block's endpoint, and the network, then try again"
_SIGN_IN = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or name a credentials block"
_ASK_FOR_ACCESS = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the keys of the credentials block, and this "
    "machine's clock, and that they grant "
    "s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket"
)
_NAME_A_BUCKET = "create the bucket, or correct its name"
_GO_THERE = "set AWS_DEFAULT_REGION, or the credentials block's region, to the bucket's"
_LOOK_FOR_THE_CAUSE = "check the network, and that nothing writes to the file meanwhile"

_REMEDIES_BY_TYPE: dict[type[Exception], str] = {
    boto.HTTPClientError: _REACH_IT,
    boto.ConnectionError: _REACH_IT,
    boto.IncompleteReadError: _REACH_IT,
    boto.NoCredentialsError: _SIGN_IN,
    boto.PartialCredentialsError: _SIGN_IN,
    boto.CredentialRetrievalError: _SIGN_IN,
    boto.TokenRetrievalError: _SIGN_IN,
    boto.SSOError: _SIGN_IN,
    boto.ProfileNotFound: _SIGN_IN,
    boto.ParamValidationError: _NAME_A_BUCKET,
}
_REMEDIES_BY_CODE = {
    **dict.fromkeys(("404", "NoSuchBucket", "InvalidBucketName"), _NAME_A_BUCKET),
    **dict.fromkeys(("400", "403", "AccessDenied", "InvalidAccessKeyId"), _ASK_FOR_ACCESS),
    **dict.fromkeys(("SignatureDoesNotMatch", "RequestTimeTooSkewed"), _ASK_FOR_ACCESS),
    **dict.fromkeys(("ExpiredToken", "InvalidToken"), _SIGN_IN),
    **dict.fromkeys(("301", "PermanentRedirect", "AuthorizationHeaderMalformed"), _GO_THERE),
    **dict.fromkeys(CHANGED_ON_THE_WAY, _LOOK_FOR_THE_CAUSE),
}


def _remedy(error: Exception) -> str | None:
    if not isinstance(error, boto.ClientError):
        return next((text for kind, text in _REMEDIES_BY_TYPE.items() if isinstance(error, kind)), None)
    if error.response["ResponseMetadata"]["HTTPStatusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _REACH_IT
    return _REMEDIES_BY_CODE.get(_code(error))


def _code(error: boto.ClientError) -> str:
    return error.response["Error"]["Code"]


@contextmanager
def translated(location: str) -> Iterator[None]:
    """Raise boto3's known errors as ArtifactStoreUnavailable, and let the others through."""
    try:
        yield
    except (boto.BotoCoreError, boto.ClientError) as error:
        if remedy := _remedy(error):
            raise ArtifactStoreUnavailable(location, f"{error}; {remedy}") from error
        raise


@contextmanager
def passing_over(codes: Collection[str]) -> Iterator[None]:
    """End the block quietly if the server answers with one of these error codes."""
    try:
        yield
    except boto.ClientError as error:
        if _code(error) not in codes:
            raise
