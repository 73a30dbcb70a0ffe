"""Characters that nobody sees, and letters that look Latin and are not: what attacks hide their words behind."""

from __future__ import annotations

#: Each line: a Latin letter, then letters of other scripts that look like it and that NFKC leaves as they are.
_LOOKALIKES = """
a аɑαᴀ𐊠
b ƅьЬᖯʙ
c сϲᴄⅽсς
d ԁɗᴅ
e еҽɛєεᴇ
f ғꜰſ
g ɡցɢ
h һհнʜ
i іɩιıɪӏ
j јϳᴊ
k κкᴋ
l ӏⅼʟ
m мᴍм
n ոпηɴ
o оοσօᴏ
p рρᴘ
q ԛզǫ
r гᴦʀ
s ѕꜱ
t тτᴛ
u սυцᴜ
v νѵᴠ
w ԝωᴡ
x хχ
y уүγʏ
z ᴢʐ
A АΑᎪ
B ВΒᏴ
C СϹᏟ
D Ꭰᗪ
E ЕΕᎬ
F Ϝᖴ
G ԌᏀ
H НΗᎻ
I ІΙӀ
J ЈᎫ
K КΚᏦ
L ᏞԼ
M МΜᎷ
N Νꓠ
O ОΟՕ
P РΡᏢ
Q Ԛ
R ᎡᏒ
S ЅᏚ
T ТΤᎢ
U ՍᑌЏ
V ѴᏙ
W ԜᎳ
X ХΧ
Y ҮΥУ
Z ΖᏃ
- ‐‑‒–—―−﹣－⁃
' ’‘‛ʼʹ`´
" “”„‟«»
. ․。
/ ⁄∕
"""

#: Letter for letter, to its Latin look-alike.
FOLDED: dict[str, str] = {
    other: line[0] for line in _LOOKALIKES.strip().splitlines() for other in line[2:] if not other.isascii()
}

#: Zero width, directions, joiners, variation selectors, soft hyphens, tags, control characters but line ends and tabs.
INVISIBLE = frozenset(
    chr(code)
    for first, last in (
        (0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C),
        (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
        (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1D173, 0x1D17A),
        (0xE0000, 0xE01EF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
