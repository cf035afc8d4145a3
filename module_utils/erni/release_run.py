"""One call of the module ``release_transition``: look, finish what was interrupted, choose, plan, and carry it out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from . import engine, release_choice
from .errors import PlatformError
from .image_pin import pinned, tag_release
from .lifecycle import stop_timeout
from .planning import Difference, Plan
from .release_apply import FAILURES, ReleaseTransition, Rules, Site, end
from .release_choice import Choice, Wish, is_gone_back_from
from .release_content import differences
from .release_diary import Diary, process_began, utc_now
from .release_history import DONE, open_transition, retained, rollback_target, stack
from .release_moments import NO_SURROUNDINGS, Around, Surroundings
from .release_plan import HEAL, NOTHING, ReleasePlan, plan_release, waits_too_long
from .release_record import JournalEntry, Manifest, read_journal, read_manifests, write_manifest
from .release_recover import recover
from .release_retention import apply_retention, observe_holdings, plan_retention
from .release_world import World, canonical_names, observe_world
from .replicas import count, on_one_host, service_of, several
from .service_apply import observe_service
from .service_plan import plan_service
from .service_spec import ServiceSpec
from .slots import in_slot

DEPLOY, ROLLBACK, UP = "deploy", "rollback", "up"


@dataclass(frozen=True)
class Author:
    """Who runs this, for the journal and the manifest."""

    operator: str
    environment: str
    reason: str = ""
    commit: str = ""


@dataclass
class Outcome:
    """What a run did or, in check mode, would do; ``report`` is what an operator reads when it is over, ``replicas``
    how many the release has of each service on this host."""

    release: str
    slot: str
    plan: Plan
    report: list[str] = field(default_factory=list)
    switches: bool = False
    from_release: str = ""
    replicas: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """What a release on several hosts needs: one ``release`` id for all, ``switching`` on all where one has to, to stop
    ``until_gated``; and ``settling``, which only finishes or undoes what was begun, once the proxy has decided."""

    release: str = ""
    switching: bool = False
    until_gated: bool = False
    settling: bool = False


@dataclass(frozen=True)
class ReleaseRun:
    """``verb`` is deploy, rollback or up; ``to`` names a rollback's target ('' for the default)."""

    site: Site
    rules: Rules
    verb: str
    wish: Wish
    author: Author
    to: str = ""
    image_prefix: str = ""
    spread: Spread = Spread()
    surroundings: Surroundings = NO_SURROUNDINGS

    def run(self, *, check: bool) -> Outcome:
        require_services(self.wish.services, self.site.upstreams)
        entries, (manifests, damaged) = read_journal(self.site.root), read_manifests(self.site.root)
        interrupted = open_transition(entries)
        notes = list(damaged)
        said: list[str] = []
        if check and interrupted:
            notes.append(f"first an interrupted transition to release {interrupted[-1].release} is finished or undone")
        elif not check:
            said = recover(self.site, self._canonical(), interrupted)
            entries = read_journal(self.site.root)
        if self.spread.settling:
            return self._settled(said, entries)
        world = self._look()
        serving = self._serving(world, entries, manifests)
        choice = self._choose(entries, manifests, serving)
        specs = choice.content.specs(self.site.platform)
        plan = self._plan(choice, specs, world, serving, entries)
        transition = self._transition(choice, specs, world, plan)
        if not check:
            notes += self._carry_out(transition, choice, manifests, entries)
        merged = Plan(differences=plan.plan.differences)
        for sentence in said:
            merged.add("recover", choice.id, sentence)
        merged.actions.extend(plan.plan.actions)
        report = [*self._told(transition, world, check=check), *notes, *choice.notes]
        former, replicas = transition.diary.template.from_release, count(choice.content.services)
        return Outcome(choice.id, plan.slot, merged, report, plan.switches, former, replicas)

    def retire(self) -> bool:
        """Stop what has waited in the idle slot for long enough; whether there was such a release.

        Where the proxy is on another host the journal has to agree on which slot is the idle one: it may have changed.
        """
        world, entries = self._look(), read_journal(self.site.root)
        served = [entry.slot for entry in entries if entry.phase == DONE]
        due = waits_too_long(world, entries, self.rules.warm_seconds, time.time())
        if open_transition(entries) or served[-1:] != [world.live] or not due:
            return False
        client = self.site.client
        end(self.site, world.occupants(world.idle), self.rules.drain_seconds, lambda i: stop_timeout(client, i.name))
        return True

    def _settled(self, said: list[str], entries: list[JournalEntry]) -> Outcome:
        plan = Plan()
        for sentence in said:
            plan.add("recover", self.site.platform, sentence)
        release = (stack(entries) or [""])[-1]
        return Outcome(release, self.site.live.slot(), plan, self._let_go(release) if said else [])

    def _told(self, transition: ReleaseTransition, world: World, *, check: bool) -> list[str]:
        release, slot = transition.release, transition.plan.slot
        if transition.plan.mode == NOTHING and self.verb != UP:
            return [f"Release {release} serves already; nothing was changed."]
        if check or not transition.diary.lines:
            return []
        former = ", ".join(sorted(world.releases_in(world.live)))
        waits = f" Release {former} waits in slot {world.live}." if transition.plan.switches else ""
        return [f"Release {release} serves from slot {slot}.{waits}", f"It took: {transition.diary.summary()}."]

    def _pinned(self) -> Wish:
        """The wish with images under names that cannot move. One that is not here is told before anything starts."""
        services = {}
        for name, service in self.wish.services.items():
            reference = str(service["image"])
            with suppress(PlatformError):
                reference, _ = pinned(self.site.client, reference, self.image_prefix)
            services[name] = {**service, "image": reference}
        return replace(self.wish, services=services)

    def _choose(
        self, entries: list[JournalEntry], manifests: Mapping[str, Manifest], serving: Manifest | None
    ) -> Choice:
        if self.verb == ROLLBACK:
            target = rollback_target(entries, manifests, self.to)
            return release_choice.as_recorded(manifests[target], self.wish)
        given = self.spread.release
        if self.verb == DEPLOY:
            choice = release_choice.for_deploy(self._pinned(), entries)
        else:
            # The whole release's id says whether this host's part is the recorded one, and whether it is to be held.
            if given and serving and (given == serving.id or is_gone_back_from(given, entries)):
                return release_choice.as_recorded(serving, self.wish)
            choice = release_choice.for_up(self._pinned(), entries, serving)
        return replace(choice, id=given) if given else choice

    def _serving(self, world: World, entries: list[JournalEntry], manifests: Mapping[str, Manifest]) -> Manifest | None:
        """What serves, by the containers' labels; where there is none, what was meant to, by the journal."""
        labelled = sorted(world.releases_in(world.live) & set(manifests))
        meant = stack(entries)[-1:]
        return next((manifests[release] for release in [*labelled, *meant] if release in manifests), None)

    def _plan(
        self,
        choice: Choice,
        specs: Mapping[str, ServiceSpec],
        world: World,
        serving: Manifest | None,
        entries: list[JournalEntry],
    ) -> ReleasePlan:
        serves = world.releases_in(world.live)
        # A slot in which another release is has nothing to be compared with, and looking costs time.
        live = self._slot_plans(choice, specs, world, world.live, serving=True) if serves <= {choice.id} else {}
        waits = world.releases_in(world.idle) == {choice.id}
        idle = self._slot_plans(choice, specs, world, world.idle, serving=False) if waits else {}
        changed = differences(choice.content, serving.services if serving else {}, serving.secrets if serving else {})
        plan = plan_release(choice.id, world, live, idle, changed, switching=self.spread.switching)
        if plan.mode in (NOTHING, HEAL):
            self._plan_agreement(choice, world, plan, entries)
        return plan

    def _plan_agreement(self, choice: Choice, world: World, plan: ReleasePlan, entries: list[JournalEntry]) -> None:
        """What else is not as it should be around a release that serves already."""
        if self.site.proxy is not None:
            self._plan_name(choice, world.live, plan.plan)
        if waits_too_long(world, entries, self.rules.warm_seconds, time.time()):
            waits = " and ".join(sorted(world.releases_in(world.idle)))
            sentence = f"release {waits}, which has waited in slot {world.idle} for long enough, is stopped"
            plan.plan.add("retire", world.idle, sentence)

    def _plan_name(self, choice: Choice, slot: str, plan: Plan) -> None:
        told, replicas = self.site.live.replicas(slot), several(on_one_host(choice.content.services))
        if self.site.live.release(slot) != choice.id:
            plan.add("name", choice.id, f"nginx is told that slot {slot} is release {choice.id}")
        elif told != replicas:
            plan.differences.append(Difference(f"replicas that nginx asks in slot {slot}", told, replicas))
            plan.add("name", choice.id, f"nginx is told how many replicas release {choice.id} has")

    def _slot_plans(
        self, choice: Choice, specs: Mapping[str, ServiceSpec], world: World, slot: str, *, serving: bool
    ) -> dict[str, Plan]:
        placed = {service: in_slot(spec, slot, choice.id, serving=serving) for service, spec in specs.items()}
        strangers = {stranger.name for stranger in world.strangers()}
        plans = {}
        for service, wanted in placed.items():
            spec, state = observe_service(self.site.client, wanted)
            # What was made by hand in its place will have been removed by then.
            plans[service] = plan_service(
                spec, replace(state, container=None) if spec.container in strangers else state
            )
        return plans

    def _transition(
        self, choice: Choice, specs: dict[str, ServiceSpec], world: World, plan: ReleasePlan
    ) -> ReleaseTransition:
        former = sorted(world.releases_in(world.live))
        template = JournalEntry(
            time=utc_now(),
            transition=secrets.token_hex(6),
            verb=self.verb,
            phase="",
            release=choice.id,
            slot=plan.slot,
            from_release=former[0] if former else "",
            from_slot=world.live,
            operator=self.author.operator,
            reason=self.author.reason,
        )
        diary = Diary(self.site.root, template, process_began())
        return ReleaseTransition(self.site, self.rules, choice.id, specs, world, plan, diary)

    def _carry_out(
        self,
        transition: ReleaseTransition,
        choice: Choice,
        manifests: Mapping[str, Manifest],
        entries: list[JournalEntry],
    ) -> list[str]:
        around = Around(self.surroundings, transition, self.author.environment, choice.schema)
        moments = around.moments()

        def recorded() -> None:
            moments.before()
            if choice.id not in manifests:
                write_manifest(self.site.root, self._manifest(choice, around))

        def tagged() -> None:
            moments.done()
            around.notes += self._tag(choice)

        transition.moments = replace(moments, before=recorded, done=tagged)
        transition.run(until_gated=self.spread.until_gated)
        if transition.plan.mode in (NOTHING, HEAL):
            self._agree(transition, choice, manifests, entries)
        elif not self.spread.until_gated:
            around.notes += self._let_go(choice.id)
        return around.notes

    def _let_go(self, active: str) -> list[str]:
        """Releases that nobody goes back to are forgotten. The transition is over: a failure here is told, no more."""
        entries, (manifests, _) = read_journal(self.site.root), read_manifests(self.site.root)
        try:
            world = self._look()
            warm = "".join(sorted(world.releases_in(world.idle))[:1])
            staying = retained(entries, self.rules.keep, active, warm)
            holdings = observe_holdings(self.site.client, self.site.platform, self.site.root)
            plan = plan_retention(staying, manifests, holdings)
            apply_retention(self.site.client, self.site.root, plan)
        except FAILURES as error:
            return [f"What is no longer needed could not be removed: {error}"]
        return plan.sentences

    def _tag(self, choice: Choice) -> list[str]:
        """People know images by tags; what serves does not depend on them, so a failure is told and no more."""
        try:
            ids = {s: engine.image_id(self.site.client, i) or "" for s, i in choice.content.images.items()}
            tag_release(self.site.client, ids, self.image_prefix, {}, self.author.commit)
        except FAILURES as error:
            return [f"The images could not be tagged: {error}"]
        return []

    def _agree(
        self,
        transition: ReleaseTransition,
        choice: Choice,
        manifests: Mapping[str, Manifest],
        entries: list[JournalEntry],
    ) -> None:
        """Where what serves is not what nginx, the records or the journal say, they are set right: it serves."""
        if choice.id not in manifests:
            write_manifest(self.site.root, self._manifest(choice, None))
        self.site.live.name_release(transition.plan.slot, choice.id, on_one_host(choice.content.services))
        if "retire" in transition.plan.plan.kinds:
            transition.end_idle()
        if stack(entries)[-1:] != [choice.id]:
            transition.diary.note(DONE, "found serving")

    def _manifest(self, choice: Choice, around: Around | None) -> Manifest:
        content = choice.content
        return Manifest(
            id=choice.id,
            created=utc_now(),
            operator=self.author.operator,
            environment=self.author.environment,
            source=choice.source,
            commit=self.author.commit,
            reason=self.author.reason,
            images=content.images,
            image_ids={s: str(self.site.client.inspect_image(image)["Id"]) for s, image in content.images.items()},
            services=content.services,
            secrets=content.fingerprints,
            config_digest=content.config_digest,
            schema=around.schema if around else {"before": "", "after": ""},
            backup=around.backup if around else "",
        )

    def _canonical(self) -> dict[str, str]:
        return canonical_names(self.site.platform, self.wish.services)

    def _look(self) -> World:
        return observe_world(self.site.client, self.site.platform, self.wish.services, self.site.live.slot())


def require_services(services: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """:raises PlatformError: for a service whose port and path nobody has told."""
    unknown = sorted(set(map(service_of, services)) - set(known))
    if unknown:
        raise PlatformError(f"Where {', '.join(unknown)} answers is not given", "upstreams does not name it")
