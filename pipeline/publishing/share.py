"""Who else may read or change a published collection: shown before it is done, and taken back.

A change is planned against the rights in force, shown, and made only if they are still the same. What was
made is kept in the work directory, not in the asset, whose properties its readers see; and it is kept as a
difference, so that taking it back leaves alone what others changed meanwhile. Source: guides/access_control.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gee import assets
from gee.assets import (
    ALL_USERS,
    COLLECTION,
    OWNER,
    READER,
    STORED_IN,
    WRITER,
    Difference,
    Grant,
    Held,
    Policy,
)
from pipeline.cloud.refusals import Refusal, Verdict
from pipeline.errors import AuthError, ConfigError, DataError, EngineError, GeeSmapError
from pipeline.progress import Report
from pipeline.work.staging import whole
from pipeline.work.workdir import WorkDir

RECORD = "sharing.json"  # in the work directory
ROLES = {READER: "reader", WRITER: "writer", OWNER: "owner"}
_ADDRESS = r"[^\s@:<>()\[\],;\"]+@(?:localhost|(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,})"
_MEMBER = re.compile(
    rf"(user|group|serviceAccount):({_ADDRESS})|(domain):([a-z0-9-]+(?:\.[a-z0-9-]+)+)", re.I
)
_EVERYBODY = (ALL_USERS, "allAuthenticatedUsers")
T = TypeVar("T")


class _Made(BaseModel):
    """A change that was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: dt.datetime
    collection: str
    added: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]
    undone: bool = False

    def reverse(self, now: Policy) -> Difference:
        """What would take it back: only what of it is still so."""
        added, removed = (frozenset(Grant(*one) for one in part) for part in (self.added, self.removed))
        return Difference(removed - now.grants, added & now.grants)


_RECORDS = TypeAdapter(tuple[_Made, ...])


@dataclass(frozen=True)
class Sharing:
    """A change of rights, planned.

    Attributes:
        collection: whose.
        before: the rights in force.
        change: what is to be added and removed; empty where nothing is to be done.
        stored_in: where the images' pixels are, as far as the collection says.
        undoes: number of the recorded change that this takes back.
    """

    collection: str
    before: Policy
    change: Difference
    stored_in: str = ""
    undoes: int | None = None

    def rows(self) -> list[dict[str, str]]:
        """Everybody who has a right or is to have one, as a table for people."""
        after = self.before.changed(self.change)
        members = sorted({grant.member for grant in self.before.grants | after.grants})
        return [
            {"who": member, "now": _roles(self.before, member), "then": _roles(after, member)}
            for member in members
        ]

    def notes(self) -> Iterator[str]:
        """What to know before it is done."""
        if not self.change:
            yield f"The rights on {self.collection} are so already: nothing is to be done."
        if any(grant.member in _EVERYBODY for grant in self.change.added):
            yield "Everybody on the internet with an Earth Engine project can then read the images."
        if any(grant.role == WRITER for grant in self.change.added):
            yield "Writers can replace and delete images, and share the collection further."
        yield from _bucket_note(self.stored_in, self.change)

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "collection": self.collection,
            "added": _listed(self.change.added),
            "removed": _listed(self.change.removed),
            "undo": self.undoes is not None,
        }


@dataclass(frozen=True)
class Shared:
    """What ``apply`` did.

    Attributes:
        sharing: as planned.
        after: the rights now.
        images_changed: images whose rights had to be set one by one; 0 where they follow the collection.
        code: the two lines that open the collection.
    """

    sharing: Sharing
    after: Policy
    images_changed: int
    code: tuple[str, str]

    def rows(self) -> list[dict[str, str]]:
        """Who has which right now."""
        return _rights(self.after)

    def notes(self) -> Iterator[str]:
        """What the collaborator has to do."""
        if not self.sharing.change:
            yield "Nothing was to be done."
        if self.sharing.change.added:
            yield f"Whoever may read it types, in Python: {'; '.join(self.code)}"
            yield (
                "with a project of their own in place of your-project. Earth Engine sends them no message: "
                "tell them."
            )
        yield from _bucket_note(self.sharing.stored_in, self.sharing.change)

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            **self.sharing.as_dict(), "rights": _listed(self.after.grants),
            "images_changed": self.images_changed, "code": list(self.code),
        }  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """Who has which right on a collection.

    Attributes:
        collection: whose.
        policy: the rights in force.
        code: the two lines that open it.
    """

    collection: str
    policy: Policy
    code: tuple[str, str]

    def rows(self) -> list[dict[str, str]]:
        """As a table for people."""
        return _rights(self.policy)

    def notes(self) -> Iterator[str]:
        """How it is opened."""
        yield f"Whoever may read it types, in Python: {'; '.join(self.code)}"
        yield "Whoever has a role in the project itself is not listed here: see the project's IAM page."

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "collection": self.collection, "rights": _listed(self.policy.grants), "code": list(self.code),
        }  # fmt: skip


def plan_sharing(
    collection: str,
    *,
    readers: Iterable[str] = (),
    writers: Iterable[str] = (),
    remove: Iterable[str] = (),
    public: bool | None = None,
) -> Sharing:
    """Find out what would change.

    Args:
        collection: an image collection.
        readers: who may read: e-mail addresses, or ``user:``, ``group:``, ``serviceAccount:`` and one,
            ``domain:`` and a domain, ``allUsers``. A writer among them becomes a reader.
        writers: who may also write.
        remove: who shall have no right any more.
        public: whether everybody may read; None leaves that as it is.

    Raises:
        ConfigError: somebody is no principal, named twice, an owner, or the account in use; or there is no
            such collection.
        AuthError: the account in use may not see the rights.
        EngineError: Earth Engine does not answer.
    """
    wanted = _wanted(readers, writers, remove, public)
    held = _collection(collection)
    before = _policy(collection)
    _check_others(collection, wanted, before)
    others = {
        grant for grant in before.grants if grant.member not in wanted or grant.role not in (READER, WRITER)
    }
    named = {Grant(member, role) for member, role in wanted.items() if role}
    change = Difference.between(before, Policy(frozenset(others | named)))
    return Sharing(collection, before, change, str(held.properties.get(STORED_IN, "")))


def plan_undo(collection: str, work: WorkDir) -> Sharing:
    """Find out what would take back the last change made from a work directory that is still in force.

    Raises:
        ConfigError: there is none.
        DataError: the record cannot be read.
        AuthError: the account in use may not see the rights.
        EngineError: Earth Engine does not answer.
    """
    held = _collection(collection)
    before = _policy(collection)
    made = _record(work)
    for number in reversed(range(len(made))):
        change = made[number].reverse(before)
        if made[number].collection == collection and not made[number].undone and change:
            return Sharing(collection, before, change, str(held.properties.get(STORED_IN, "")), number)
    raise ConfigError(
        f"{work.root / RECORD} holds no change of {collection} that could be taken back: "
        f"gee-smap share {collection} --list shows the rights, --remove takes one."
    )


def apply(sharing: Sharing, work: WorkDir, report: Report = lambda what, share: None) -> Shared:
    """Make a change that was planned, and keep what is needed to take it back.

    Args:
        sharing: of ``plan_sharing`` or ``plan_undo``.
        work: where the record is.
        report: told what is done and the share of the whole that is done.

    Raises:
        ConfigError: Earth Engine does not take somebody.
        DataError: the record cannot be written; then nothing was changed.
        AuthError: the account in use may not share.
        EngineError: the rights have changed since the plan, are not set on all images, or nobody answers.
    """
    code = assets.opening(sharing.collection)
    if not sharing.change:
        return Shared(sharing, sharing.before, 0, code)
    report("record", 0.0)
    before = _record(work)
    # Kept first: what was made and not recorded could not be taken back, the reverse does no harm.
    _write(work, _remembered(before, sharing))
    report("collection", 0.2)
    try:
        after = _set(sharing)
    except BaseException:
        _write(work, before)
        raise
    report("images", 0.6)
    name, change = sharing.collection, sharing.change
    names = sorted(held.name for held in _asked(lambda: assets.images(name), name).values())
    try:
        changed = _asked(lambda: assets.share_images(names, change), name, change)
    except GeeSmapError as error:
        told = f"The rights on {name} itself are changed, those on some of its images are not"
        raise EngineError(f"{error}\n{told}: make the opposite change, then this one again.") from error
    report("images", 1.0)
    return Shared(sharing, after, changed, code)


def listing(collection: str) -> Listing:
    """Who has which right on a collection.

    Raises:
        ConfigError: there is no such collection.
        AuthError: the account in use may not see the rights.
        EngineError: Earth Engine does not answer.
    """
    _collection(collection)
    return Listing(collection, _policy(collection), assets.opening(collection))


# Principals


def principal(text: str) -> str:
    """Somebody, as Earth Engine writes it; an address without a kind is told by its domain.

    Raises:
        ConfigError: it is nobody.
    """
    text = text.strip()
    everybody = {one.lower(): one for one in _EVERYBODY}
    if text.lower() in everybody:
        return everybody[text.lower()]
    if re.fullmatch(_ADDRESS, text, re.I):
        text = f"{_kind(text)}:{text}"
    found = _MEMBER.fullmatch(text)
    if not found:
        raise ConfigError(
            f"{text!r} is nobody Earth Engine knows how to write: give an e-mail address, group:ADDRESS, "
            f"serviceAccount:ADDRESS, domain:NAME or {ALL_USERS}."
        )
    kinds = {kind.lower(): kind for kind in ("user", "group", "serviceAccount", "domain")}
    kind, rest = (found[1], found[2]) if found[1] else (found[3], found[4])
    return f"{kinds[kind.lower()]}:{rest.lower()}"


def _kind(address: str) -> str:
    domain = address.lower().rpartition("@")[2]
    if domain.endswith(".gserviceaccount.com"):
        return "serviceAccount"
    return "group" if domain == "googlegroups.com" else "user"


def _wanted(
    readers: Iterable[str], writers: Iterable[str], remove: Iterable[str], public: bool | None
) -> dict[str, str]:
    """The role each named principal shall have; empty for none."""
    named = [(text, READER) for text in readers]
    named += [(text, WRITER) for text in writers]
    named += [(text, "") for text in remove]
    if public is not None:
        named.append((ALL_USERS, READER if public else ""))
    wanted: dict[str, str] = {}
    mistakes = []
    for text, role in named:
        try:
            member = principal(text)
        except ConfigError as error:
            mistakes.append(str(error))
            continue
        if role == WRITER and member in _EVERYBODY:
            mistakes.append(
                f"{member} can only read: Earth Engine lets nobody give everybody the right to write."
            )
        if wanted.setdefault(member, role) != role:
            mistakes.append(f"{member} is named for two different rights: name each once.")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    if not wanted:
        raise ConfigError("Nobody is named: give --reader, --writer, --remove, --public or --no-public.")
    return wanted


def _check_others(collection: str, wanted: dict[str, str], before: Policy) -> None:
    mine = assets.account()
    owners = before.members(OWNER)
    mistakes = [
        f"{member} owns {collection}, which is more than to read or write it, and cannot be taken away."
        for member in wanted
        if member in owners
    ]
    if mine and (own := f"serviceAccount:{mine.lower()}") in wanted and own not in owners:
        mistakes.append(f"{own} is the account in use: nobody changes their own rights.")
    if mistakes:
        raise ConfigError("\n".join(mistakes))


# The engine's answers


def _collection(name: str) -> Held:
    if not re.fullmatch(COLLECTION, name):
        raise ConfigError(f"{name} is no image collection: give projects/NAME/assets/.../NAME.")
    found = _asked(lambda: assets.find(name), name)
    if found is None:
        raise ConfigError(f"{name} does not exist: mind its spelling, or publish first: gee-smap publish")
    if found.kind != assets.IMAGE_COLLECTION:
        raise ConfigError(f"{name} is of type {found.kind}: name the image collection.")
    return found


def _policy(name: str) -> Policy:
    return _asked(lambda: assets.policy(name), name)


def _set(sharing: Sharing) -> Policy:
    wanted = sharing.before.changed(sharing.change)
    try:
        after = assets.set_policy(sharing.collection, wanted)
    except Exception as error:
        refusal = Refusal.of_request(error)
        # What the client sends again after a lost answer is refused as outdated, and yet was done.
        after = _policy(sharing.collection)
        if after.grants != wanted.grants:
            if after.grants != sharing.before.grants:
                raise EngineError(
                    f"The rights on {sharing.collection} were changed by somebody else meanwhile: type the "
                    "command again, which shows them anew."
                ) from error
            raise _explained(refusal, sharing.collection, sharing.change) from error
    lacking = {grant.member for grant in sharing.change.added - after.grants}
    lacking |= {grant.member for grant in sharing.change.removed & after.grants}
    if lacking:
        raise EngineError(
            f"Earth Engine accepted the change of {sharing.collection} and did not make it for "
            f"{', '.join(sorted(lacking))}: see gee-smap share {sharing.collection} --list"
        )
    return after


def _asked(request: Callable[[], T], name: str, change: Difference | None = None) -> T:
    """The answer to a request about an asset, or an error that tells what to do."""
    try:
        return request()
    except Exception as error:
        raise _explained(Refusal.of_request(error), name, change) from error


def _explained(refusal: Refusal, name: str, change: Difference | None) -> GeeSmapError:
    if refusal.verdict is Verdict.RIGHTS:
        return AuthError(
            f"You may not see or change who has rights on {name}: ask its owner to share it, or to make you "
            f"a writer. Earth Engine answers: {refusal.words}"
        )
    if refusal.verdict is Verdict.FINAL and change is not None:
        named = ", ".join(sorted({grant.member for grant in change.added}))
        return ConfigError(
            f"Earth Engine does not take {named}: {refusal.words.rstrip('.')}. Mind the spelling; a group is "
            "written group:ADDRESS."
        )
    return refusal.error(f"The rights on {name} are not known", "Type the same command again.")


# The record


def _record(work: WorkDir) -> tuple[_Made, ...]:
    path = work.root / RECORD
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path} cannot be read; without it nothing can be taken back. Move it away to share anew."
        ) from error


def _remembered(made: tuple[_Made, ...], sharing: Sharing) -> tuple[_Made, ...]:
    """The record with a change in it, or with one marked as taken back."""
    if sharing.undoes is not None:
        undone = made[sharing.undoes].model_copy(update={"undone": True})
        return (*made[: sharing.undoes], undone, *made[sharing.undoes + 1 :])
    added, removed = (
        tuple(sorted((grant.member, grant.role) for grant in part))
        for part in (sharing.change.added, sharing.change.removed)
    )
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return (*made, _Made(time=now, collection=sharing.collection, added=added, removed=removed))


def _write(work: WorkDir, made: tuple[_Made, ...]) -> None:
    path = work.root / RECORD
    try:
        work.root.mkdir(parents=True, exist_ok=True)
        with whole(path) as beside:
            beside.write_text(json.dumps(_RECORDS.dump_python(made, mode="json"), indent=1) + "\n")
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}), and nothing is shared that cannot be "
            "taken back: name another work directory."
        ) from error


# For people and machines


def _roles(policy: Policy, member: str) -> str:
    roles = sorted(ROLES.get(grant.role, grant.role) for grant in policy.grants if grant.member == member)
    return ", ".join(roles)


def _rights(policy: Policy) -> list[dict[str, str]]:
    members = sorted({grant.member for grant in policy.grants})
    return [{"who": member, "right": _roles(policy, member)} for member in members]


def _listed(grants: Iterable[Grant]) -> list[dict[str, str]]:
    return [{"member": grant.member, "role": ROLES.get(grant.role, grant.role)} for grant in sorted(grants)]


def _bucket_note(stored_in: str, change: Difference) -> Iterator[str]:
    if stored_in.startswith("gs://") and change:
        yield (
            f"The pixels stay in {stored_in}, whose rights are separate: give the same people the role "
            "Storage Object Viewer there, or take it from them."
        )
