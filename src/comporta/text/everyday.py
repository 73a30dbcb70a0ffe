"""Words of short messages (greetings, thanks, orders, accounts), by language: what three words are told apart by.

Only words that one of the languages has: `claro`, `nada` or `total` tell nothing here, and `refund` alone could be a
field's name.
"""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ENGLISH = _set(
    """hello hi hey yes sure okay please wait thanks thank welcome sorry great good morning afternoon evening
    night bye goodbye done again later back try call approved failed sent received shipped locked password reset
    news order account payment delivery shipping yesterday today tomorrow help need want ready happy problem
    issue much many dollars customer your you're we're it'll they're don't can't won't let's right wrong click
    here below found know understand check send email phone address team reply soon"""
)
PORTUGUESE = _set(
    """oi olá obrigado obrigada sim certo entendi entendido desculpe desculpa aguarde boa bom dia tarde noite
    tudo bem tchau pronto ótimo ótima ótimas ótimos ontem hoje amanhã tente novamente reembolso pedido aprovado
    recusado enviado enviada recebido cancelado fatura pagamento senha conta frete entrega prazo reais minha meu
    nossa nosso você vocês vou posso pode preciso quero gostaria ajuda ajudar dúvida dúvidas atendimento equipe
    equipa loja compra produto troca ligue clique aqui bloqueada bloqueado notícias bem-vindo bem-vinda adeus
    até logo cliente dias úteis leva horas semana mês antes depois leia gênio ninguém pessoas não nada ajudá-lo
    ajudá-la verificar informações"""
)
SPANISH = _set(
    """hola gracias sí entendido perdone perdón disculpe espere buenos buenas días tardes noches bueno buena
    bien adiós listo ayer hoy mañana inténtelo nuevo nuevamente reembolso pedido aprobado rechazado enviado
    recibido cancelado factura pago contraseña cuenta envío entrega plazo euros pesos nuestra nuestro usted
    ustedes puede puedes necesito quiero quisiera ayuda ayudar duda tienda compra producto cambio llame haga
    clic aquí bloqueada bloqueado noticias hábiles semana mes antes después tarda nadie bienvenido bienvenida
    hasta luego cliente nada ayudarle verificar información siento lamento"""
)
FRENCH = _set(
    """bonjour bonsoir merci beaucoup oui non voici veuillez désolé désolée votre commande compte je suis ne
    sais pas s'il très bien aujourd'hui demain remboursement livraison paiement facture bienvenue au revoir
    avons êtes le la les des est et dans une qui sur avec pour vous nous c'est j'ai mais où quel quelle comment
    ce cette son leur aux du"""
)
GERMAN = _set(
    """hallo guten tag morgen abend danke vielen dank bitte ja nein entschuldigung leider ihre ihr ihnen
    bestellung konto rechnung lieferung zahlung heute gestern willkommen tschüss gerne schön der die das und ist
    nicht ich sie wir ein eine einen mit auf für den dem zu auch sich wie wird war oder aber wo welche haben hat
    sind von im noch"""
)
ITALIAN = _set(
    """ciao buongiorno buonasera grazie mille prego sì scusi scusa mi dispiace ordine conto fattura consegna
    pagamento oggi ieri domani benvenuto benvenuta arrivederci per favore il che di è non sono gli della del nel
    alla più anche questo questa come ho quale dove quanto un una lo con suo sua abbiamo possiamo"""
)
DUTCH = _set(
    """hallo hoi goedemorgen goedemiddag dank je u wel bedankt alstublieft ja nee sorry bestelling rekening
    factuur levering betaling vandaag gisteren morgen welkom tot ziens het een van niet zijn dat voor maar wat
    ook naar waar hoe ik en de is op aan met hebben wij uw"""
)
EVERYDAY = {
    "en": ENGLISH, "pt": PORTUGUESE, "es": SPANISH, "fr": FRENCH, "de": GERMAN, "it": ITALIAN, "nl": DUTCH,
}  # fmt: skip
