"""Who may open the console: made, changed and removed by admins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from comporta.console.accounts import ROLES, Account, Accounts, Role
from comporta.console.page import Page
from comporta.console.parts.acting import ask, button, choice, go, say, text
from comporta.console.parts.components import When
from comporta.console.parts.pieces import badge, card, head, notice
from comporta.console.parts.tags import tag
from comporta.console.passwords import Passwords, made
from comporta.console.view import View
from comporta.console.words import Texts
from comporta.errors import BadRequest

TEXTS: Texts = {
    "title": ("Console users", "Usuários do console"),
    "about": ("Admins change things here; viewers only look.", "Administradores mudam coisas; leitores só olham."),
    "new": ("New user", "Novo usuário"),
    "name": ("Name", "Nome"),
    "role": ("Role", "Papel"),
    "make": ("Make user", "Criar usuário"),
    "password_once": (
        "{name} signs in with this password. It is shown only now:",
        "{name} entra com esta senha. Ela só é mostrada agora:",
    ),
    "new_password": ("New password", "Nova senha"),
    "make_admin": ("Make admin", "Tornar administrador"),
    "make_viewer": ("Make viewer", "Tornar leitor"),
    "remove": ("Remove", "Remover"),
    "remove_sure": ("Remove {name}? Their sessions end at once.", "Remover {name}? As sessões terminam já."),
    "password_sure": (
        "A new password for {name}? Their sessions end at once.",
        "Nova senha para {name}? As sessões terminam já.",
    ),
    "teams": ("Teams", "Equipes"),
    "teams_hint": (
        "With commas between them: a viewer sees their calls alone. Empty: all.",
        "Com vírgulas entre elas: um leitor só vê as chamadas delas. Vazio: todas.",
    ),
    "teams_of": ("Whose calls does {name} see?", "De quem são as chamadas que {name} vê?"),
    "never": ("never signed in", "nunca entrou"),
    "provider": ("by the identity provider", "pelo provedor de identidade"),
    "seen": ("last signed in", "entrou por último"),
}  # fmt: skip


async def build(view: View) -> None:
    """The list, and a form for one more."""
    accounts = Accounts(view.database, Passwords())
    with head(view.t("title"), view.t("about")):
        pass
    shown = tag("div", aria_live="polite")

    def once(name: str, password: str) -> None:
        shown.clear()
        with shown:
            notice("", "good", title=view.t("password_once", name=name))
            tag("pre.code", password, tabindex="0", role="region", aria_label=view.t("new_password"))

    with card():
        _list(view, accounts, await accounts.list(), once)
    with card(view.t("new")):
        _form(view, accounts, once)


def _list(view: View, accounts: Accounts, found: Sequence[Account], once: Callable[[str, str], None]) -> None:
    with tag("ol.events"):
        for one in found:
            with tag("li.events__one"):
                badge(view.t(f"role_{one.role}"), "accent" if one.role == "admin" else "dim")
                with tag("span.events__text"):
                    tag("strong", one.name)
                    if one.teams and one.role == "viewer":
                        tag("span.muted", f" · {view.t('teams')}: {', '.join(one.teams)}")
                    if not one.has_password:
                        tag("span.muted", f" · {view.t('provider')}")
                    with tag("div.when"):
                        tag("span", view.t("never") if one.seen_at is None else view.t("seen") + " ")
                        if one.seen_at is not None:
                            When(one.seen_at.timestamp())
                _acts(view, accounts, one, once)


def _acts(view: View, accounts: Accounts, one: Account, once: Callable[[str, str], None]) -> None:
    other: Role = "viewer" if one.role == "admin" else "admin"

    async def change_role() -> None:
        by = await view.demand_admin()
        await accounts.set_role(one.name, other, by=by.user)
        go("/system/users")

    async def new_password() -> None:
        if await ask(view, view.t("password_sure", name=one.name)):
            by = await view.demand_admin()
            password = made()
            await accounts.set_password(one.name, password, by=by.user)
            once(one.name, password)

    async def remove() -> None:
        if await ask(view, view.t("remove_sure", name=one.name), label=view.t("remove"), tone="danger"):
            by = await view.demand_admin()
            await accounts.remove(one.name, by=by.user)
            go("/system/users")

    with tag("div.row"):
        button(view, view.t(f"make_{other}"), change_role, tone="small")
        if one.has_password and one.role == "viewer":
            button(view, view.t("teams"), lambda: _bind(view, accounts, one), tone="small")
        if one.has_password:
            button(view, view.t("new_password"), new_password, tone="small")
        button(view, view.t("remove"), remove, tone="small.button--danger")


async def _bind(view: View, accounts: Accounts, one: Account) -> None:
    """Ask whose calls they are to see, and let it hold."""
    fields = []

    def body() -> None:
        known = ", ".join(one.teams or [])
        fields.append(text(view.t("teams"), known, most=2000, hint=view.t("teams_hint")))

    if await ask(view, view.t("teams_of", name=one.name), body, label=view.t("save")):
        by = await view.demand_admin()
        await accounts.set_teams(one.name, _named(fields[0].value), by=by.user)
        go("/system/users")


def _form(view: View, accounts: Accounts, once: Callable[[str, str], None]) -> None:
    with tag("div.filters__form.bare"):
        name = text(view.t("name"), most=100)
        teams = text(view.t("teams"), most=2000, hint=view.t("teams_hint"))
        role = choice(view.t("role"), [(one, view.t(f"role_{one}")) for one in reversed(ROLES)])

        async def make() -> None:
            by = await view.demand_admin()
            known = next((one for one in ROLES if one == role.value), None)
            if known is None:
                raise BadRequest("A role is admin or viewer.", param="role")
            password = made()
            bound = _named(teams.value)
            await accounts.add(name.value.strip(), known, password=password, by=by.user, teams=bound)
            once(name.value.strip(), password)
            name.put("")
            teams.put("")
            say(view.t("done"))

        with tag("div.filters__acts"):
            button(view, view.t("make"), make, tone="main")


def _named(teams: str) -> list[str] | None:
    """None where none is named: then they see all."""
    return [one.strip() for one in teams.split(",") if one.strip()] or None


PAGE = Page("/system/users", "title", build, TEXTS, icon="person", parent="/system", admin=True)
