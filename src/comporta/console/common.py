"""The texts that all pages share."""

from __future__ import annotations

from comporta.console.words import Texts

COMMON: Texts = {
    # groups of the navigation
    "watch": ("Watch", "Observar"),
    "build": ("Build", "Construir"),
    "protect": ("Protect", "Proteger"),
    "run": ("Run", "Operar"),
    # the frame
    "search": ("Search calls", "Buscar chamadas"),
    "menu": ("Menu", "Menu"),
    "theme": ("Light or dark", "Claro ou escuro"),
    "language": ("Português", "English"),
    "sign_out": ("Sign out", "Sair"),
    "signed_in_as": ("Signed in as {name}", "Conectado como {name}"),
    "role_admin": ("admin", "administrador"),
    "role_viewer": ("viewer", "leitor"),
    "skip": ("Skip to the page", "Pular para a página"),
    "keys": ("Keyboard", "Teclado"),
    "keys_search": ("search", "buscar"),
    "keys_move": ("next, previous row", "linha seguinte, anterior"),
    "keys_open": ("open the row", "abrir a linha"),
    "keys_go": ("go to a page", "ir a uma página"),
    "keys_help": ("this list", "esta lista"),
    "close": ("Close", "Fechar"),
    # ranges of time
    "range": ("Time", "Período"),
    "range_1h": ("1 hour", "1 hora"),
    "range_24h": ("24 hours", "24 horas"),
    "range_7d": ("7 days", "7 dias"),
    "range_30d": ("30 days", "30 dias"),
    # tables, filters
    "filter": ("Filter", "Filtrar"),
    "filters": ("Filters", "Filtros"),
    "clear": ("Clear", "Limpar"),
    "any": ("any", "qualquer"),
    "older": ("Older", "Mais antigas"),
    "newest": ("Newest", "Mais novas"),
    "next": ("Next", "Seguinte"),
    "csv": ("CSV", "CSV"),
    "nothing_found": ("Nothing fits these filters.", "Nada corresponde a estes filtros."),
    "show_all": ("Show all", "Mostrar tudo"),
    # acts
    "save": ("Save", "Salvar"),
    "cancel": ("Cancel", "Cancelar"),
    "confirm": ("Confirm", "Confirmar"),
    "why": ("Why (goes into the audit log)", "Por quê (vai para o registro de auditoria)"),
    "done": ("Done.", "Feito."),
    "viewer_only": (
        "You may look, not act: your role is viewer.",
        "Você pode olhar, não agir: seu papel é leitor.",
    ),
    "bound_only": (
        "This shows things of all teams, and you see those of {teams} alone. An admin may change that.",
        "Isto mostra coisas de todas as equipes, e você só vê as de {teams}. Um administrador pode mudar isso.",
    ),
    "sees_teams": ("sees {teams}", "vê {teams}"),
    "signed_out": ("You are signed out. Reload the page.", "Você saiu. Recarregue a página."),
    "copy": ("Copy", "Copiar"),
    "copied": ("Copied", "Copiado"),
    "or_demo": ("Or look at a drawn week of traffic:", "Ou veja uma semana de tráfego desenhado:"),
    # failures
    "away_title": ("The database is away", "O banco de dados está fora"),
    "failed_title": ("This page failed", "Esta página falhou"),
    "failed_text": (
        "That is a mistake of ours; the console's log names it ({name}).",
        "É um erro nosso; o registro do console diz qual ({name}).",
    ),
    "not_found_title": ("There is nothing here", "Não há nada aqui"),
    "back_to_overview": ("To the overview", "Para a visão geral"),
}
