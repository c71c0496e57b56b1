"""`tradewind bundle`: what lies in a store, whether it may serve, and who has signed it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tradewind.errors import BundleError
from tradewind_cli.output import JsonOption, print_answer, print_fields, print_json, print_table

if TYPE_CHECKING:
    from tradewind.bundle import BundleMetadata, BundleStore

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Policy bundles: list, show, verify, sign.")

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of the bundle store.")]
BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder STORE/POLICY/VERSION.")
]


@app.command("list")
def list_bundles(
    store: StoreArgument = Path("bundles"),
    policy: Annotated[str | None, typer.Option(help="Only this policy.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Lists the versions in a store, newest last; a bundle that cannot be read says why."""
    from tradewind.bundle import BundleStore

    bundles = BundleStore(store)
    for path, cause in bundles.passed_over(bundles.policies()).items():
        typer.echo(f"{store / path} is passed over: it is {cause}", err=True)
    rows = [
        _row(bundles, name, version)
        for name in bundles.policies()
        if policy in (None, name)
        for version in bundles.versions(name)
    ]
    if as_json:
        print_json({"bundles": rows})
        return
    columns = ("policy", "version", "algorithm", "created", ">return", "problem")
    print_table(
        columns,
        (
            (
                row["policy"],
                row["version"],
                row.get("algo", ""),
                row.get("created_at", ""),
                _percent(row.get("evaluation", {}).get("return")),
                row.get("problem", ""),
            )
            for row in rows
        ),
    )


@app.command()
def show(bundle: BundleArgument, as_json: JsonOption = False) -> None:
    """Shows what a bundle says about itself; its files are checked against their digests."""
    from tradewind.bundle import read_bundle

    read = read_bundle(bundle)
    if as_json:
        print_json(json.loads(read.metadata_json))
        return
    print_fields(_summary(read.metadata))


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes.")],
    as_json: JsonOption = False,
) -> None:
    """Makes an Ed25519 key that signs bundles; the public key goes to FILE.pub."""
    from tradewind.bundle import SigningKey

    answer = {
        "key_id": SigningKey.create(file).key_id,
        "private_key": str(file),
        "public_key": f"{file}.pub",
    }
    print_answer(answer, as_json=as_json)


@app.command()
def sign(
    bundle: BundleArgument,
    key: Annotated[Path, typer.Option(help="File of the private key.")],
    signer: Annotated[
        str | None, typer.Option(help="Who signs; by default the name of the key's file.")
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=36_500, help="For how long the signature is believed.")
    ] = 365,
    as_json: JsonOption = False,
) -> None:
    """Signs a published bundle, in place of any earlier signature."""
    from tradewind.bundle import BundleStore, SigningKey

    signing_key, folder = SigningKey.load(key, signer, days), bundle.absolute()
    BundleStore(folder.parents[1]).sign(folder.parent.name, folder.name, signing_key)
    answer = {"bundle": str(bundle), "key_id": signing_key.key_id}
    print_answer(answer, as_json=as_json)


@app.command()
def verify(
    bundle: BundleArgument,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="A public key; the bundle must be signed by it, or by one of several."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verifies a bundle as the inference service does: digests, signature, network, golden answers.

    The signature counts only with a key to check it against. The network is executed by a process
    that can reach no file and no network.
    """
    from tradewind.bundle import TrustedKeys, read_bundle

    signature = None
    if key:
        trusted = TrustedKeys.load(key, required=True)
        signature = read_bundle(bundle, trusted=trusted).signature
    from tradewind.policy import load_sealed_policy

    policy = load_sealed_policy(bundle)
    metadata = policy.metadata
    answer: dict[str, Any] = {
        "bundle": str(bundle),
        "policy": metadata.name,
        "version": metadata.version,
        "bundle_sha256": metadata.sha256,
        "golden_observations": len(policy.golden.observations),
        "runtime": policy.runtime,
        "runtime_reason": policy.runtime_reason,
    }
    if signature is not None:
        answer["signature"] = signature.model_dump(mode="json", exclude_defaults=True)
    if as_json:
        print_json(answer)
        return
    if signature is not None:
        answer["signature"] = str(signature)
    print_fields({name: str(value) for name, value in answer.items() if value != ""})


@app.command()
def freshness(
    store: StoreArgument,
    key: Annotated[Path, typer.Option(help="File of the private key that signs the statement.")],
    trust: Annotated[
        list[Path] | None,
        typer.Option(help="A public key besides, whose statement may be followed by this one."),
    ] = None,
    oldest: Annotated[
        list[str] | None,
        typer.Option(metavar="POLICY/VERSION", help="No version before this one is loaded."),
    ] = None,
    withdraw: Annotated[
        list[str] | None,
        typer.Option(metavar="POLICY/VERSION", help="This version is not loaded any more."),
    ] = None,
    revoke_key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY_ID", help="What this key has signed is not loaded any more."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            min=1, max=3_650, help="For how long it is current: as the one before, or 30 days."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """States what is newest in a store and what is believed no more, in its freshness.json.

    A server that trusts the key begins to serve nothing older than that, holds to the statement
    when the file is removed or replaced by an older one, and drops within a poll what is withdrawn
    or signed by a revoked key. Nothing that was refused once is let in again.
    """
    from tradewind.bundle import SigningKey, TrustedKeys, write_freshness

    made = write_freshness(
        store,
        SigningKey.load(key),
        public=TrustedKeys.load(trust or (), required=True).public,
        oldest=oldest or (),
        withdrawn=withdraw or (),
        revoked_keys=revoke_key or (),
        days=days,
    )
    answer: dict[str, Any] = {
        "store": str(store),
        "number": made.serial,
        "expires_at": str(made.signature.expires_at),
        "newest": sorted(made.subjects),
        "oldest": sorted(map("/".join, made.oldest.items())),
        "withdrawn": sorted(made.withdrawn),
        "revoked_keys": sorted(made.revoked_keys),
    }
    if as_json:
        print_json(answer)
        return
    fields = {name: ", ".join(each) for name, each in answer.items() if isinstance(each, list)}
    shown = {name: str(fields.get(name, value)) for name, value in answer.items() if value != []}
    print_fields({name.replace("_", " "): value for name, value in shown.items()})


@app.command()
def export(
    draft: Annotated[
        Path, typer.Argument(metavar="DRAFT", help="Folder of a trained model without a bundle.")
    ],
    store: Annotated[
        Path | None, typer.Option(help="Bundle store to publish to; by default the training's.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="File of the private key that signs the bundle.")
    ] = None,
    without_report: Annotated[
        bool, typer.Option("--without-report", help="Leave report.html out of the bundle.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Publishes a trained model whose bundle could not be published, and removes its draft.

    A training that fails after it has learnt says where its draft is. Reading one runs code of
    whoever wrote it: export your own only.
    """
    # torch and Stable-Baselines3 take seconds to import: no other command should wait for them
    from trainer_service.training.kept import export_draft

    bundle = export_draft(draft, store=store, signing_key=key, report=not without_report)
    metadata = bundle.metadata
    answer = {
        "bundle": str(bundle.path),
        "policy": metadata.name,
        "version": metadata.version,
        "bundle_sha256": metadata.sha256,
    }
    print_answer(answer, as_json=as_json)


def _row(store: "BundleStore", policy: str, version: str) -> dict[str, Any]:
    from tradewind.bundle import read_bundle

    row: dict[str, Any] = {"policy": policy, "version": version}
    try:
        metadata = read_bundle(store.path(policy, version)).metadata
    except BundleError as problem:
        return row | {"problem": str(problem), "reason": problem.reason}
    return row | {
        "algo": metadata.algo,
        "created_at": metadata.created_at.isoformat(),
        "bundle_sha256": metadata.sha256,
        "evaluation": dict(metadata.evaluation),
    }


def _summary(metadata: "BundleMetadata") -> dict[str, str]:
    fields = {
        "policy": metadata.name,
        "version": metadata.version,
        "created": metadata.created_at.isoformat(),
        "algorithm": metadata.algo,
        "observations": str(metadata.obs_space),
        "actions": str(metadata.action_space),
        "network": f"sha256 {metadata.sha256}",
    }
    if metadata.features is not None:
        fields["features"] = f"sha256 {metadata.features.digest}"
    if metadata.risk is not None:
        fields["risk policy"] = f"sha256 {metadata.risk.policy_digest}"
    training = metadata.training
    fields["training"] = f"{training.timesteps:,} steps, seed {training.seed}"
    if training.device:
        fields["learnt on"] = training.device
    if training.git_revision:
        fields["revision"] = training.git_revision
    fields |= {name: f"{value:.6g}" for name, value in sorted(metadata.evaluation.items())}
    return fields


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
