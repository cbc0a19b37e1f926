"""All that can go wrong, in one tree; each error owns its wording, a raise only passes the facts.

::

    RegistryError
    ├── InvalidName                 a model, alias, key or other text that no rule allows
    ├── InvalidReference            text that is not "name@version", "name@alias" or "name@latest"
    ├── InvalidPolicy               a policy that could not decide anything
    ├── InvalidValue                a number, or a time, that no database could keep as it is
    ├── InvalidInterval             a time between two looks that nobody could keep to
    ├── InvalidParameters           parameters that have no JSON form, or are too much of it
    ├── ReasonMissing               a ledger entry that would not say why
    ├── ApprovalError
    │   ├── ApprovalMissing         the policy asks for a person's approval, and there is none
    │   ├── NothingToApprove        the policy itself was not convinced
    │   ├── FourEyesNeeded          whoever registered a version does not approve it
    │   └── NobodyToAsk             no Prefect server is configured on which a person could approve
    ├── InvalidMetric               a metric that is unknown, undefined on this data, or not finite
    ├── InvalidObservation          a batch whose value, rows, key or time can't be
    ├── InvalidBaseline             a reference from which no fall could be told
    ├── NotFound
    │   ├── ModelNotFound
    │   ├── VersionNotFound
    │   │   └── VersionDeleted      somebody deleted it
    │   ├── AliasNotSet
    │   │   └── AliasNotSetThen     nothing was in force at that time
    │   ├── NeverInForce            a version that never held the alias under which it is to be watched
    │   ├── DatasetNotFound
    │   ├── BaselineMissing         a version that was never measured by the metric it is to be watched by
    │   └── BlockNotFound           no such block was saved in Prefect
    ├── Conflict
    │   ├── AliasConflict           another run moved the alias since the decision
    │   ├── DecisionConflict        another run gave the same question another answer
    │   ├── AlreadyInForce          a move that would move nothing
    │   ├── NumberTaken             somebody registered meanwhile, so a version would get another number
    │   ├── StillNeeded             a version that is in force or pinned can't be deleted
    │   └── KeyConflict             one idempotency key, two different requests
    ├── NothingToRollBackTo
    ├── AlertUnanswered             an alert that started nothing
    ├── RegistryUnsound             a verification found something wrong, so nothing was removed
    ├── ModelError
    │   ├── UntrustedType           the artifact holds a type outside the registry's allow-list
    │   ├── NotSerializable         the estimator does not survive saving and loading
    │   ├── Unreadable              the bytes are no estimator that this library could have written
    │   ├── PickleNotAllowed        its format runs code, which the operator or the caller does not allow
    │   └── PredictionFailed        the estimator raised, or answered with the wrong shape
    ├── SignatureError
    │   ├── EnvelopeRefused         signed bytes that are malformed, or that no trusted key vouches for
    │   ├── NotVouchedFor
    │   │   ├── SignatureMissing    nobody signed a version that somebody has to vouch for
    │   │   └── SignatureInvalid    somebody signed it, but no trusted key vouches for it as it is
    │   ├── KeyUnusable             a private key or a file of trusted keys that can't be used
    │   └── AnchorUnusable          a checkpoint that can't be kept, read or believed
    ├── DataError
    │   ├── InvalidDataset
    │   │   └── EmptyDataset        there are no rows in it
    │   ├── SchemaMismatch          columns missing, out of order or of another type
    │   └── TrainingDataAsEvidence  a gate was shown the data that a contender was trained on
    ├── ArtifactError
    │   ├── ArtifactMissing
    │   │   └── ArtifactPurged      a retention policy gave the bytes up; the row tells when and why
    │   ├── LeaseExpired            a collection took bytes before the row that needs them was written
    │   ├── InvalidFolder           a folder, or a manifest of one, that can't be a version
    │   ├── ArtifactCorrupted       the bytes are not the ones that were registered
    │   └── ArtifactStoreUnavailable
    ├── InvalidBlock                a saved block that can't be used as what it should be
    ├── BlockUnavailable            the Prefect server did not give a saved block
    ├── EventsUnavailable           the Prefect server did not take an event
    ├── ExtraMissing                a library that an extra of this one brings is not installed
    ├── DeploymentError
    │   ├── InvalidDeployments      a file of deployments that can't be deployed from
    │   ├── DeploymentRefused       the Prefect server did not take a deployment
    │   ├── WorkPoolNotFound        nobody made the work pool that runs are to wait in
    │   ├── ServerUnavailable       there is no Prefect server to deploy to
    │   ├── ServerIncompatible      the Prefect server is of a version that does not understand this one
    │   └── PortTaken               something else listens where the Prefect server was to start
    └── DatabaseError
        ├── DatabaseUnavailable
        │   └── PermissionMissing   the role that the database was reached as may not do this
        ├── DatabaseOutdated        the database has an earlier schema version than this library
        ├── LibraryOutdated         the database has a schema version that this library does not know
        ├── UpgradeFailed           the database could not be brought to this library's schema version
        └── DatabaseUnrecognised    the database belongs to something else
            └── DatabaseShared      it does, and a registry could be made beside that

An error is pickled by its facts, so it crosses process borders whole.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar


def _listed(fact: Any) -> Any:
    return ", ".join(fact) if isinstance(fact, tuple) else fact


@dataclass(eq=False)
class RegistryError(Exception):
    """Base of every error that the registry raises on purpose."""

    wording: ClassVar[str] = "the registry refused"

    def __str__(self) -> str:
        return self.wording.format_map({name: _listed(fact) for name, fact in vars(self).items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


@dataclass(eq=False)
class InvalidName(RegistryError):
    """A name, or another text, breaks the rule for its kind."""

    kind: str
    name: str
    rule: str
    wording = "{name!r} is not a valid {kind}: {rule}"


@dataclass(eq=False)
class InvalidReference(RegistryError):
    """The text does not refer to a version."""

    text: str
    wording = "{text!r} does not refer to a version: write name@7, name@champion or name@latest"


@dataclass(eq=False)
class InvalidPolicy(RegistryError):
    """The policy could not decide anything."""

    reason: str
    wording = "this policy cannot decide: {reason}"


@dataclass(eq=False)
class InvalidValue(RegistryError):
    """A number or a time can't be written down as it is."""

    kind: str
    value: str
    rule: str
    wording = "{kind} {value} can't be written down: {rule}"


@dataclass(eq=False)
class InvalidInterval(RegistryError):
    """Nobody can look at something so often, or so seldom."""

    seconds: str
    longest: int
    wording = "an interval can't have {seconds} seconds: give more than 0, and at most {longest:,}"


@dataclass(eq=False)
class InvalidParameters(RegistryError):
    """Parameters can't be written down."""

    reason: str
    wording = "the parameters can't be written down: {reason}"


@dataclass(eq=False)
class ReasonMissing(RegistryError):
    """A ledger entry would not say why."""

    action: str
    wording = "a ledger entry that is {action!r} needs a reason: say why in a sentence"


class ApprovalError(RegistryError):
    """A person has to agree, or can't."""


@dataclass(eq=False)
class ApprovalMissing(ApprovalError):
    """The policy asks for a person's approval."""

    challenger: str
    wording = (
        "{challenger} passed, and its policy asks for a person's approval: promote it in the Prefect UI, or "
        "by `registry promote --approved-by NAME --comment WHY`"
    )


@dataclass(eq=False)
class NothingToApprove(ApprovalError):
    """The policy was not convinced, which no approval can replace."""

    challenger: str
    verdict: str
    wording = (
        "the verdict on {challenger} is {verdict!r}, which an approval can't change; to put it in force "
        "past the gate, assign it"
    )


@dataclass(eq=False)
class FourEyesNeeded(ApprovalError):
    """Whoever registered a version does not approve it."""

    challenger: str
    by: str
    wording = "{by} registered {challenger}, and the policy wants four eyes: somebody else has to approve it"


class NobodyToAsk(ApprovalError):
    """There is no Prefect server on which a person could approve."""

    wording = (
        "the policy asks for a person's approval, and no Prefect server is configured where one could be "
        "given: set PREFECT_API_URL, or start one by `registry serve`"
    )


@dataclass(eq=False)
class InvalidMetric(RegistryError):
    """A metric is unknown, undefined on this data, or not a finite number."""

    metric: str
    reason: str
    wording = "metric {metric!r}: {reason}"


@dataclass(eq=False)
class InvalidObservation(RegistryError):
    """A batch can't have been observed so."""

    subject: str
    reason: str
    wording = "{subject} can't be recorded: {reason}"


@dataclass(eq=False)
class InvalidBaseline(RegistryError):
    """No fall could be told from this reference."""

    reason: str
    wording = "nothing can be watched against this reference: {reason}"


class NotFound(RegistryError):
    """Something that was referred to does not exist."""


@dataclass(eq=False)
class ModelNotFound(NotFound):
    """No version was ever registered under this name."""

    model: str
    wording = "there is no model {model!r}: `registry models` lists those that exist"


@dataclass(eq=False)
class VersionNotFound(NotFound):
    """The model exists, this version of it does not."""

    model: str
    number: int
    wording = "model {model!r} has no version {number}: `registry versions {model}` lists those it has"


@dataclass(eq=False)
class DatasetNotFound(NotFound):
    """No version was trained on such rows, and none was evaluated on them."""

    fingerprint: str
    wording = "nothing was trained or judged on a dataset {fingerprint!r}: `registry show REF` names datasets"


@dataclass(eq=False)
class VersionDeleted(VersionNotFound):
    """Somebody deleted the version; its number is not given again."""

    by: str
    why: str
    wording = "{model}@{number} was deleted by {by}: {why}"


@dataclass(eq=False)
class AliasNotSet(NotFound):
    """The model exists, but nothing is in force under this alias."""

    model: str
    alias: str
    wording = "nothing is in force as {model}@{alias}: promote or assign a version first"


@dataclass(eq=False)
class AliasNotSetThen(AliasNotSet):
    """Nothing was in force under this alias at that time."""

    at: str
    wording = (
        "nothing was in force as {model}@{alias} at {at}: `registry history {model}` shows what was when"
    )


@dataclass(eq=False)
class NeverInForce(NotFound):
    """The version never held the alias, so nothing that it predicted went live under it."""

    reference: str
    alias: str
    wording = "{reference} was never in force as {alias}: promote or assign it before it is watched"


@dataclass(eq=False)
class BaselineMissing(NotFound):
    """The version was never measured by this metric, so nothing says what is normal."""

    reference: str
    metric: str
    wording = (
        "{reference} was never measured by {metric!r} on a holdout, so nothing says what is normal: "
        "`registry evaluate {reference} --data HOLDOUT --metric {metric}`"
    )


@dataclass(eq=False)
class BlockNotFound(NotFound):
    """Nobody saved a Prefect block under this name."""

    block: str
    wording = (
        "Prefect has no block {block!r}: `prefect block ls` lists those that were saved; save it in the UI "
        "under Blocks, or by its class's save"
    )


class Conflict(RegistryError):
    """The registry moved on since the caller looked."""


@dataclass(eq=False)
class AliasConflict(Conflict):
    """Another run moved the alias since the decision was made."""

    model: str
    alias: str
    seen: str
    found: str
    wording = (
        "{model}@{alias} moved since the decision, which was made against {seen}; now {found} is in force: "
        "decide again against it"
    )


@dataclass(eq=False)
class DecisionConflict(Conflict):
    """Another run answered the same question differently, after more looks at the rows."""

    reference: str
    verdict: str
    kind: str
    wording = (
        "the verdict on {reference} is {verdict!r}, but another run asked the same and wrote it {kind!r} "
        "first; decide again to read that"
    )


@dataclass(eq=False)
class NumberTaken(Conflict):
    """Somebody registered a version meanwhile, so this one would get another number."""

    reference: str
    wanted: int
    wording = "this version would be {reference}, not number {wanted}: somebody registers in this model, too"


@dataclass(eq=False)
class AlreadyInForce(Conflict):
    """The version already holds the alias."""

    reference: str
    alias: str
    wording = "{reference} is already in force as {alias}: there is nothing to move"


@dataclass(eq=False)
class StillNeeded(Conflict):
    """What somebody relies on can't be deleted."""

    subject: str
    needed: str
    remedy: str
    wording = "{subject} was not deleted, because it is {needed}: {remedy}"


@dataclass(eq=False)
class KeyConflict(Conflict):
    """An idempotency key was used before, for something else."""

    key: str
    first: str
    difference: str
    wording = (
        "key {key!r} already stands for {first}, and {difference} differs: use a new key for a new request"
    )


@dataclass(eq=False)
class NothingToRollBackTo(RegistryError):
    """No trusted predecessor is left that loads and predicts."""

    model: str
    alias: str
    reason: str
    wording = (
        "{model}@{alias} stays as it is, there is nothing to roll back to: {reason}; "
        "assign a version that you trust"
    )


@dataclass(eq=False)
class AlertUnanswered(RegistryError):
    """An alert reached Prefect, and the run that was to answer it did not start."""

    alert: str
    automation: str
    reason: str
    wording = (
        "alert {alert} was not answered, because automation {automation!r} could not act: {reason}; see to "
        "the model, then to the automation"
    )


@dataclass(eq=False)
class RegistryUnsound(RegistryError):
    """A verification found something wrong; nothing was removed."""

    wrong: int
    first: str
    wording = (
        "{wrong} of what was verified is wrong, and nothing was removed; the first is {first}: "
        "`registry verify` names them all, restore what is damaged from a backup"
    )


class ModelError(RegistryError):
    """An estimator can't be kept, restored or used."""


@dataclass(eq=False)
class UntrustedType(ModelError):
    """The artifact holds types that the registry's allow-list does not name."""

    subject: str
    types: tuple[str, ...]
    wording = (
        "{subject} holds types that this registry does not trust: {types}; "
        "after reading their code, allow each with `registry trust NAME --reason …`"
    )


@dataclass(eq=False)
class NotSerializable(ModelError):
    """The estimator does not come back from its serialized form as it was."""

    estimator: str
    reason: str
    wording = "{estimator} does not survive being saved and loaded: {reason}"


@dataclass(eq=False)
class Unreadable(ModelError):
    """The bytes are not an estimator in the format that they were registered in."""

    subject: str
    reason: str
    wording = "{subject} can't be read as an estimator: {reason}"


@dataclass(eq=False)
class PickleNotAllowed(ModelError):
    """The format runs code as it is read, and one of those who have to allow that does not."""

    subject: str
    serialization: str
    remedy: str
    wording = (
        "{serialization} runs whatever code its bytes hold, and {subject} was not opened as that: if you "
        "trust whoever made it, {remedy}"
    )


@dataclass(eq=False)
class PredictionFailed(ModelError):
    """The estimator raised while predicting, or answered with the wrong shape."""

    subject: str
    reason: str
    wording = "{subject} does not predict: {reason}"


class SignatureError(RegistryError):
    """Nobody whom the operator trusts vouches for something, or a key can't be used."""


@dataclass(eq=False)
class EnvelopeRefused(SignatureError):
    """Signed bytes are malformed, or no trusted key vouches for them; they were not parsed."""

    reason: str
    wording = "the signed envelope is refused: {reason}"


class NotVouchedFor(SignatureError):
    """The version lacks the signature that it needs; it was not opened."""


@dataclass(eq=False)
class SignatureMissing(NotVouchedFor):
    """Nobody signed the version, and somebody has to have; it was not opened."""

    reference: str
    wording = (
        "{reference} bears no signature, and one is required; it was not opened: if you vouch for it, "
        "`registry sign {reference}`"
    )


@dataclass(eq=False)
class SignatureInvalid(NotVouchedFor):
    """No trusted key vouches for the version as it is; it was not opened."""

    reference: str
    reasons: tuple[str, ...]
    wording = (
        "no trusted key vouches for {reference}, which was not opened: {reasons}; if nobody tampered "
        "with it, add the signer's key to the trusted keys, or sign it again"
    )


@dataclass(eq=False)
class KeyUnusable(SignatureError):
    """A private key, or a file of trusted keys, can't be read, made or used."""

    file: str
    reason: str
    wording = "{file} can't be used: {reason}"


@dataclass(eq=False)
class AnchorUnusable(SignatureError):
    """A checkpoint of the chains can't be kept or read, or is not to be believed; nothing was compared."""

    anchor: str
    reason: str
    wording = "anchor {anchor} can't be used: {reason}"


class DataError(RegistryError):
    """Rows that can't be used for what was asked."""


@dataclass(eq=False)
class InvalidDataset(DataError):
    """The dataset can't be read, or can't be learned or judged from."""

    dataset: str
    reason: str
    wording = "dataset {dataset!r}: {reason}"


@dataclass(eq=False)
class EmptyDataset(InvalidDataset):
    """The dataset has no rows."""


@dataclass(eq=False)
class SchemaMismatch(DataError):
    """The columns are not those that the version was trained on."""

    subject: str
    difference: str
    wording = "the columns do not fit {subject}: {difference}"


@dataclass(eq=False)
class TrainingDataAsEvidence(DataError):
    """A gate was shown the data that a contender was trained on."""

    reference: str
    dataset: str
    wording = "{reference} was trained on dataset {dataset!r}, which proves nothing about it: use a holdout"


class ArtifactError(RegistryError):
    """Bytes can't be kept or given back."""


@dataclass(eq=False)
class ArtifactMissing(ArtifactError):
    """The store has no bytes under this digest."""

    digest: str
    location: str
    wording = "{location} has no artifact {digest}: restore it from a backup, or roll back to another version"


@dataclass(eq=False)
class ArtifactPurged(ArtifactMissing):
    """The bytes were given up on purpose; the row that refers to them stays."""

    when: str
    because: str
    wording = (
        "artifact {digest} of {location} was purged on {when}: {because}; "
        "register the training again to have it"
    )


@dataclass(eq=False)
class LeaseExpired(ArtifactError):
    """The bytes were collected before the row that needs them was written."""

    digest: str
    wording = "artifact {digest} was collected while it was being registered: try again"


@dataclass(eq=False)
class InvalidFolder(ArtifactError):
    """A folder can't be a version, or what should be the manifest of one is not."""

    folder: str
    reason: str
    wording = "{folder} can't be a version: {reason}"


@dataclass(eq=False)
class ArtifactCorrupted(ArtifactError):
    """The bytes are not the ones that were written; nothing was parsed."""

    digest: str
    found: str
    location: str
    wording = (
        "artifact {digest} in {location} now has digest {found} and was not opened: restore it from a backup"
    )


@dataclass(eq=False)
class ArtifactStoreUnavailable(ArtifactError):
    """The folder or bucket can't be used."""

    location: str
    reason: str
    wording = "artifact store {location} can't be used: {reason}"


@dataclass(eq=False)
class InvalidBlock(RegistryError):
    """A saved Prefect block does not hold what is needed, or what it needs is not installed."""

    block: str
    reason: str
    wording = "block {block!r} can't be used: {reason}"


@dataclass(eq=False)
class BlockUnavailable(RegistryError):
    """The Prefect server did not give a saved block."""

    block: str
    server: str
    reason: str
    wording = "{server} did not give block {block!r}: {reason}"


@dataclass(eq=False)
class EventsUnavailable(RegistryError):
    """The Prefect server did not take an event."""

    server: str
    reason: str
    wording = "{server} did not take an event: {reason}"


class DeploymentError(RegistryError):
    """The flows can't be put onto a Prefect server, or run from it."""


@dataclass(eq=False)
class InvalidDeployments(DeploymentError):
    """A file of deployments can't be read, or asks for what can't be deployed."""

    file: str
    reason: str
    wording = "{file} can't be deployed: {reason}"


@dataclass(eq=False)
class DeploymentRefused(DeploymentError):
    """The Prefect server did not take a deployment, or what belongs to it."""

    deployment: str
    reason: str
    wording = "the Prefect server refused {deployment}: {reason}"


@dataclass(eq=False)
class WorkPoolNotFound(DeploymentError):
    """No work pool has this name, so no worker would start the runs."""

    pool: str
    wording = (
        "there is no work pool {pool!r}: `prefect work-pool ls` lists those that exist, and "
        "`prefect work-pool create {pool} --type process` makes it"
    )


@dataclass(eq=False)
class ServerUnavailable(DeploymentError):
    """There is no Prefect server to deploy to."""

    server: str
    reason: str
    wording = "{server} can't be used: {reason}"


@dataclass(eq=False)
class ServerIncompatible(DeploymentError):
    """The Prefect server has another version than this library's Prefect, and did not understand it."""

    server: str
    found: str
    expected: str
    reason: str
    wording = (
        "{server} runs Prefect {found}, here is Prefect {expected}, and they do not understand each other "
        "({reason}): upgrade the older of the two"
    )


@dataclass(eq=False)
class PortTaken(DeploymentError):
    """Something else listens where the Prefect server was to start."""

    port: int
    wording = (
        "port {port} is taken: name another by --port, or, if a Prefect server listens there, use it by "
        "PREFECT_API_URL=http://127.0.0.1:{port}/api"
    )


@dataclass(eq=False)
class ExtraMissing(RegistryError):
    """A library that comes with an extra is not installed, or is broken."""

    subject: str
    extra: str
    reason: str
    wording = "{subject} can't be used ({reason}): pip install 'prefect-model-registry[{extra}]'"


class DatabaseError(RegistryError):
    """The database can't be used as this registry's."""


@dataclass(eq=False)
class DatabaseUnavailable(DatabaseError):
    """The database can't be reached, or refuses to work."""

    database: str
    reason: str
    wording = "database {database} can't be used: {reason}"


@dataclass(eq=False)
class PermissionMissing(DatabaseUnavailable):
    """The role that the database was reached as may not do this."""

    needed: str
    wording = "{needed} may do this in database {database}, and this process came as another: {reason}"


@dataclass(eq=False)
class DatabaseOutdated(DatabaseError):
    """The database has an earlier schema version than this library."""

    database: str
    found: str
    expected: str
    wording = (
        "database {database} has schema version {found}, this library works with {expected}: when nothing "
        "uses it with the earlier library any more, make a backup and run `registry db upgrade`"
    )


@dataclass(eq=False)
class LibraryOutdated(DatabaseError):
    """The database has a schema version that this library does not know."""

    database: str
    found: str
    expected: str
    wording = (
        "database {database} has schema version {found}, which this library, whose own is {expected}, does "
        "not know, and was left alone: pip install --upgrade prefect-model-registry"
    )


@dataclass(eq=False)
class UpgradeFailed(DatabaseError):
    """The database could not be brought to this library's schema version; nothing was changed in it."""

    database: str
    found: str
    expected: str
    reason: str
    wording = (
        "database {database} can't be brought from schema version {found} to {expected} and was left as it "
        "was: {reason}"
    )


@dataclass(eq=False)
class DatabaseUnrecognised(DatabaseError):
    """The database holds tables that are not a registry's; nothing was changed in it."""

    database: str
    tables: tuple[str, ...]
    wording = (
        "database {database} is not a model registry (it holds {tables}) and was left alone: "
        "name an empty database or one that a registry made; of a PostgreSQL also an empty schema, by "
        "?options=-csearch_path%3DNAME"
    )


@dataclass(eq=False)
class DatabaseShared(DatabaseUnrecognised):
    """The database holds other programs' tables, under names that a registry does not need."""

    wording = (
        "database {database} is not a model registry (it holds {tables}) and was left alone: "
        "name an empty database, or run `registry db upgrade` to have a registry made beside what is there"
    )
