"""Replies of a support desk with the tone that a reader hears in them, in English, Portuguese and Spanish.

`SEEN` was at hand while the phrase lists were written; `UNSEEN` was written afterwards and changed nothing in them.
«plain» is a reply that is none of the other three.
"""

from __future__ import annotations


def _read(text: str) -> list[tuple[str, str]]:
    """Lines such as `empathetic: That must be hard.`"""
    pairs = [line.strip().partition(": ") for line in text.strip().splitlines()]
    return [(label, said) for label, _, said in pairs]


SEEN = {
    "en": _read(
        """
        empathetic: I'm so sorry this happened on your birthday. Let's get it fixed today.
        empathetic: That sounds really frustrating, and you're right to be upset.
        empathetic: I can imagine how stressful it is to wait for a parcel you need tomorrow.
        empathetic: Losing all your photos must be awful. I'm here to help you get them back.
        empathetic: You've been patient with us and you deserve a proper answer.
        empathetic: I hear you: three calls for one refund is too many. We apologise.
        empathetic: Thank you for telling us, and I'm very sorry for the mess we made of your order.
        defensive: As I already explained twice, the parcel left our warehouse on time.
        defensive: That's not our fault; the courier is responsible for delays.
        defensive: If you had read the instructions, this would not have happened.
        defensive: We did nothing wrong here. The charge is in the contract you signed.
        defensive: I'm sorry you feel that way, but the policy is the policy.
        defensive: No other customer has complained about this, so it must be something on your side.
        defensive: You should have checked the size before you ordered.
        rude: Stop wasting my time with this nonsense.
        rude: Are you stupid? It says so on the first page.
        rude: Frankly, nobody cares. Deal with it.
        plain: Your order will arrive on Thursday between 9 and 12.
        plain: The invoice is attached as a PDF.
        plain: To reset your password, open Settings and choose Security.
        plain: Great, that worked! Have a lovely weekend.
        plain: Dear customer, please be advised that our offices are closed on Monday.
        plain: Refunds take five working days. You will receive an e-mail once it is done.
        plain: The blue one costs $40 and comes in three sizes.
        empathetic: Oh no, what a way to start a holiday. I'm sorry, let me see what can be saved.
        empathetic: It's completely understandable that you're worried about your savings.
        empathetic: We let you down, and I want to apologise for that before anything else.
        empathetic: Being locked out right before a deadline is horrible; we'll stay with you until it works.
        defensive: We told you in March that the feature would change, so this cannot come as a surprise.
        defensive: Our system shows no error at all. You must have typed the wrong address.
        defensive: It is hardly our responsibility what the courier does with the box.
        defensive: Nobody forced you to choose the basic plan.
        rude: Read the manual before you bother people, genius.
        rude: This is a ridiculous question and I won't waste another minute on it.
        plain: You can change the delivery address until 6 pm today.
        plain: Happy to help! The code is valid for two weeks.
        plain: Your claim was forwarded to the insurance department.
        plain: Both plans include storage; the larger one adds shared folders.
        """
    ),
    "pt": _read(
        """
        empathetic: Sinto muito pelo que aconteceu. Vamos resolver isso hoje mesmo.
        empathetic: Imagino como deve ser frustrante esperar tanto por uma resposta.
        empathetic: Você tem toda a razão em estar chateada, isso não deveria ter acontecido.
        empathetic: Compreendo a sua preocupação e estou aqui para ajudar no que for preciso.
        empathetic: Que situação difícil. No seu lugar, eu também ficaria triste.
        empathetic: Pedimos desculpa pelo atraso; sabemos que contava com a encomenda para o casamento.
        empathetic: Lamento saber que perdeu as fotografias do seu filho.
        defensive: Como já lhe disse, a encomenda saiu do armazém a horas.
        defensive: A culpa não é nossa, é da transportadora.
        defensive: Se tivesse lido as instruções, isto não tinha acontecido.
        defensive: Fizemos tudo certo. A cobrança está no contrato que você assinou.
        defensive: Lamento que se sinta assim, mas as regras são estas.
        defensive: Nenhum outro cliente reclamou disso, então o problema é do seu lado.
        defensive: Você deveria ter conferido o tamanho antes de comprar.
        rude: Pare de me incomodar com essa bobagem.
        rude: Você é burro? Está na primeira página.
        rude: Sinceramente, ninguém se importa. O problema é seu.
        plain: O seu pedido chega na quinta-feira, entre as 9h e as 12h.
        plain: A fatura segue em anexo, em PDF.
        plain: Para trocar a senha, abra Configurações e escolha Segurança.
        plain: Que ótimo, funcionou! Bom fim de semana.
        plain: Prezado cliente, informamos que estaremos fechados na segunda-feira.
        plain: O reembolso leva cinco dias úteis. Você recebe um e-mail quando terminar.
        plain: O azul custa R$ 40 e existe em três tamanhos.
        empathetic: Puxa, que jeito de começar as férias. Sinto muito, deixe-me ver o que dá para salvar.
        empathetic: É perfeitamente compreensível que esteja preocupado com as suas poupanças.
        empathetic: Falhámos consigo e, antes de mais, quero pedir desculpa por isso.
        empathetic: Ficar sem acesso na véspera de um prazo é horrível; ficamos ao seu lado até funcionar.
        defensive: Avisamos em março que a função ia mudar, portanto isto não pode ser surpresa.
        defensive: O nosso sistema não mostra erro nenhum. Deve ter escrito mal o endereço.
        defensive: Não nos responsabilizamos pelo que a transportadora faz com a caixa.
        defensive: Ninguém o obrigou a escolher o plano básico.
        rude: Leia o manual antes de chatear as pessoas, gênio.
        rude: Que pergunta ridícula, não vou perder mais um minuto com isso.
        plain: Pode alterar a morada de entrega até às 18h de hoje.
        plain: Com todo o gosto! O código é válido por duas semanas.
        plain: O seu processo foi encaminhado para o departamento de seguros.
        plain: Os dois planos incluem armazenamento; o maior acrescenta pastas partilhadas.
        """
    ),
    "es": _read(
        """
        empathetic: Siento mucho lo que ha pasado. Vamos a solucionarlo hoy mismo.
        empathetic: Me imagino lo frustrante que es esperar tanto por una respuesta.
        empathetic: Tiene toda la razón en estar molesta, no debería haber ocurrido.
        empathetic: Comprendo su preocupación y estoy aquí para ayudarle en lo que haga falta.
        empathetic: Qué situación tan difícil. En su lugar, yo también estaría triste.
        empathetic: Le pedimos disculpas por el retraso; sabemos que contaba con el pedido para la boda.
        empathetic: Lamento saber que perdió las fotos de su hijo.
        defensive: Como ya le dije, el paquete salió de nuestro almacén a tiempo.
        defensive: La culpa no es nuestra, es del transportista.
        defensive: Si hubiera leído las instrucciones, esto no habría pasado.
        defensive: Hemos hecho todo bien. El cargo está en el contrato que usted firmó.
        defensive: Lamento que se sienta así, pero las normas son estas.
        defensive: Ningún otro cliente se ha quejado, así que el problema es de su lado.
        defensive: Debería haber comprobado la talla antes de comprar.
        rude: Deje de molestarme con estas tonterías.
        rude: ¿Es usted tonto? Está en la primera página.
        rude: Sinceramente, a nadie le importa. Es su problema.
        plain: Su pedido llega el jueves, entre las 9 y las 12.
        plain: La factura va adjunta en PDF.
        plain: Para cambiar la contraseña, abra Ajustes y elija Seguridad.
        plain: ¡Qué bien, ha funcionado! Que tenga un buen fin de semana.
        plain: Estimado cliente, le informamos de que cerramos el lunes.
        plain: El reembolso tarda cinco días hábiles. Recibirá un correo cuando esté hecho.
        plain: El azul cuesta 40 euros y viene en tres tallas.
        empathetic: Vaya manera de empezar las vacaciones. Lo siento, déjeme ver qué se puede salvar.
        empathetic: Es totalmente comprensible que esté preocupado por sus ahorros.
        empathetic: Le hemos fallado y, antes que nada, quiero pedirle perdón.
        empathetic: Quedarse sin acceso la víspera de una entrega es horrible; seguimos con usted hasta que funcione.
        defensive: Avisamos en marzo de que la función iba a cambiar, así que no puede ser una sorpresa.
        defensive: Nuestro sistema no muestra ningún error. Habrá escrito mal la dirección.
        defensive: No nos hacemos responsables de lo que haga el transportista con la caja.
        defensive: Nadie le obligó a elegir el plan básico.
        rude: Lea el manual antes de molestar a la gente, genio.
        rude: Qué pregunta tan ridícula, no pienso perder otro minuto con esto.
        plain: Puede cambiar la dirección de entrega hasta las 18 h de hoy.
        plain: ¡Con mucho gusto! El código vale dos semanas.
        plain: Su expediente se ha enviado al departamento de seguros.
        plain: Los dos planes incluyen almacenamiento; el mayor añade carpetas compartidas.
        """
    ),
}
UNSEEN = {
    "en": _read(
        """
        empathetic: I'm really sorry your daughter's costume arrived torn. I can see how much it meant to her.
        empathetic: Please don't blame yourself, these forms confuse a lot of people.
        empathetic: I understand your worry about the late fee, and I'll stay on this until it is settled.
        empathetic: It hurts to lose a pet, and the last thing you need now is paperwork.
        empathetic: I know waiting is hard when money is tight. Here is what I can do right now.
        defensive: The advertisement never said that batteries were included.
        defensive: You signed for the parcel, so we are not going to discuss this any further.
        defensive: I can't be blamed for what a colleague promised you.
        defensive: Our technicians checked everything twice; the mistake is clearly on your end.
        defensive: It's hardly fair to give us one star for something we don't control.
        rude: Are you blind? The button is right there.
        rude: I couldn't care less what you think of our shop.
        plain: The museum opens at ten and the last entry is at five.
        plain: Thanks for your order! We'll send the tracking number tonight.
        plain: To whom it may concern: the warranty covers parts and labour for two years.
        plain: If you bought it after May, choose the second option in the list.
        """
    ),
    "pt": _read(
        """
        empathetic: Sinto muito que a fantasia da sua filha tenha chegado rasgada. Imagino a tristeza dela.
        empathetic: Não se culpe, estes formulários confundem muita gente.
        empathetic: Entendo a sua preocupação com a multa e vou acompanhar o caso até ficar resolvido.
        empathetic: Perder um animal dói, e a última coisa de que precisa agora é papelada.
        empathetic: Sei como é difícil esperar quando o dinheiro está curto. Veja o que posso fazer já.
        defensive: O anúncio nunca disse que as pilhas estavam incluídas.
        defensive: Assinou a entrega, por isso não vamos discutir mais este assunto.
        defensive: Não me podem culpar pelo que um colega prometeu.
        defensive: Os nossos técnicos verificaram tudo duas vezes; o erro é claramente seu.
        defensive: É injusto dar-nos uma estrela por algo que não controlamos.
        rude: É cego? O botão está mesmo ali.
        rude: Estou me lixando para o que você acha da nossa loja.
        plain: O museu abre às dez e a última entrada é às cinco.
        plain: Obrigado pela compra! Enviamos o código de rastreio hoje à noite.
        plain: A garantia cobre peças e mão de obra durante dois anos.
        plain: Se comprou depois de maio, escolha a segunda opção da lista.
        """
    ),
    "es": _read(
        """
        empathetic: Siento mucho que el disfraz de su hija llegara roto. Me imagino lo triste que está.
        empathetic: No se culpe, estos formularios confunden a mucha gente.
        empathetic: Entiendo su preocupación por el recargo y voy a seguir el caso hasta que quede resuelto.
        empathetic: Perder a una mascota duele, y lo último que necesita ahora es papeleo.
        empathetic: Sé lo difícil que es esperar cuando el dinero no alcanza. Esto es lo que puedo hacer ya.
        defensive: El anuncio nunca decía que las pilas estuvieran incluidas.
        defensive: Usted firmó la entrega, así que no vamos a discutir más este asunto.
        defensive: No pueden culparme por lo que prometió un compañero.
        defensive: Nuestros técnicos lo revisaron todo dos veces; el error es claramente suyo.
        defensive: Es injusto ponernos una estrella por algo que no controlamos.
        rude: ¿Está ciego? El botón está justo ahí.
        rude: Me importa un bledo lo que piense de nuestra tienda.
        plain: El museo abre a las diez y la última entrada es a las cinco.
        plain: ¡Gracias por su compra! Esta noche le mandamos el número de seguimiento.
        plain: La garantía cubre piezas y mano de obra durante dos años.
        plain: Si lo compró después de mayo, elija la segunda opción de la lista.
        """
    ),
}
