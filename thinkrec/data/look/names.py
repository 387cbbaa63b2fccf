"""Names by which users call the columns of their files, in several languages."""

# ruff: noqa: RUF001

from __future__ import annotations

import re
from unicodedata import combining, normalize

from thinkrec.data.look.roles import Role

_WORDS: dict[Role, str] = {
    "user": """
        user users uid member reviewer customer client buyer visitor viewer reader listener player student
        account profile person guest shopper rater benutzer nutzer kunde kunden käufer leser spieler
        mitglied utilisateur usager acheteur lecteur usuario cliente comprador utente lettore usuário
        gebruiker klant lezer användare kund bruger bruker käyttäjä asiakas użytkownik klient uživatel
        zákazník felhasználó kullanıcı müşteri пользователь клиент покупатель користувач 用户 用户id 客户
        ユーザー 顧客 사용자 고객
    """,
    "item": """
        item items movie film book isbn asin product sku article business song track artist album game app
        recipe content video course news story url poi venue place restaurant hotel anime show episode
        podcast listing offer ad job beer wine joke artikel produkt buch filme gegenstand ware spiel lied
        produit livre objet jeu chanson producto artículo libro película juego prodotto articolo gioco
        produto livro jogo artigo boek spel vara bok tuote kirja książka towar gra kniha zboží termék könyv
        ürün kitap товар книга фильм продукт книжка 商品 物品 产品 电影 图书 映画 本 アイテム 상품 영화
    """,
    "rating": """
        rating ratings stars star score overall rate rated grade mark points preference review_score
        review_rating bewertung sterne punkte wertung note notation étoiles évaluation puntuación valoración
        calificación estrellas nota voto valutazione punteggio stelle avaliação classificação estrelas
        beoordeling waardering cijfer sterren betyg vurdering karakter arvosana ocena hodnocení értékelés
        puan оценка рейтинг оцінка 评分 打分 評価 평점
    """,
    "label": """
        label liked like likes is_liked click clicked is_click is_clicked target bought purchase purchased
        favorite favourite thumbs recommended is_recommended voted_up feedback positive interested gefällt
        gefallen gekauft geklickt aimé acheté gusta comprado piace acquistato gostou geliked gekocht gillar
        köpt kliknięto polubione нравится куплено 点击 喜欢 购买 いいね 좋아요
    """,
    "timestamp": """
        timestamp time date datetime moment ts unix_review_time review_time review_date created created_at
        event_time event_timestamp at when day rated_at zeit zeitstempel zeitpunkt datum uhrzeit tag temps
        horodatage heure fecha hora tiempo data ora tempo tijd tijdstip tid tidpunkt tidspunkt aika päivä
        czas čas dátum idő tarih zaman дата время час 时间 日期 时间戳 日時 日付 시간 날짜
    """,
    "item_id": "id key code",
    "title": """
        title name titel bezeichnung titre nom intitulé título nombre titolo nome naam otsikko nimi tytuł
        nazwa název titul cím név başlık ad название имя заголовок назва 标题 名称 名字 タイトル 名前 제목
        이름 headline
    """,
    "description": """
        description plot overview summary synopsis abstract about text body details blurb beschreibung
        inhalt handlung zusammenfassung résumé descripción resumen sinopsis descrizione trama descrição
        resumo sinopse omschrijving beschrijving beskrivning handling kuvaus opis popis leírás açıklama
        описание опис 描述 简介 説明 설명
    """,
    "categories": """
        category categories genre genres tag tags topics topic subjects department section kategorie
        kategorien rubrik schlagworte catégorie catégories categoría categorías género géneros categoria
        categorie genere generi gênero gêneros categorieën kategori kategorier genrer kategoria gatunek
        gatunki žánr žánry kategória műfaj tür türler категория категории жанр жанры 类别 类型 标签 ジャンル
        カテゴリ 장르
    """,
}
_SUFFIXES = (
    "number", "nummer", "numero", "codigo", "index", "hash", "code", "key", "uuid", "num", "idx", "nr", "no",
    "id",
)  # fmt: skip
_ABOUT = frozenset({
    "age", "gender", "sex", "email", "mail", "image", "img", "count", "counts", "avg", "average", "mean",
    "number", "title", "name", "text", "url", "link", "helpful", "verified", "price", "zip",
    "country", "city",
})  # fmt: skip
"""Words of a column that says something about a user, an item or a rating, and is not the thing itself."""
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def without_accents(text: str) -> str:
    """Leave out the accents of letters: `título` becomes `titulo`."""
    return "".join(sign for sign in normalize("NFKD", text) if not combining(sign))


def words_of(name: str) -> list[str]:
    """Split a name into words in lower case, without accents: `reviewerID`, `user_id`, `Título`."""
    return _WORD.findall(_HUMP.sub(" ", without_accents(name)).casefold())


def _compact(words: list[str]) -> str:
    return "".join(words)


_KNOWN: dict[Role, frozenset[str]] = {
    role: frozenset(_compact(words_of(word)) for word in words.split()) for role, words in _WORDS.items()
}

_TITLES = frozenset(words_of(
    "title titel titre título titolo tytuł titul cím headline название заголовок 标题 タイトル 제목"
))  # fmt: skip
"""Words for titles that don't mean the name of just anything."""
_TITLED = _KNOWN["item"] - {"isbn", "asin", "sku", "url", "artist", "album"}
"""Words for items that have titles, not for codes and for what other items are part of."""


def _without_suffix(name: str) -> str:
    """A name without a word for an id at its end."""
    return next((name.removesuffix(each) for each in _SUFFIXES if name.endswith(each) and name != each), name)


def fits(role: Role, name: str) -> float:
    """Say how well a column's name fits a role: 0 not at all, more is better."""
    words = words_of(name)
    whole = _compact(words)
    known = _KNOWN[role] | _KNOWN["item"] if role == "item_id" else _KNOWN[role]
    bare = _without_suffix(whole)
    ids = role in ("user", "item", "item_id")
    if role == "title":
        return _fits_title(set(words))
    if whole in known:
        score = 3.0
    elif ids and bare in known:
        return 3.5
    elif any(word in known or (ids and _without_suffix(word) in known) for word in words):
        score = 2.0
    else:
        return 0.0
    about = set(words) - _KNOWN[role]
    return max(score - 1.5 * bool(about & _ABOUT), 0.0)


def _fits_title(words: set[str]) -> int:
    """Return 5 for a name that the first of these rules fits, 4 for the second, and so on; 0: none does."""
    names, items = words & _KNOWN["title"], words & _TITLED
    about, alone = (words - names) & _ABOUT, words == names | items
    rules = (
        not about and alone and names and (items or names & _TITLES),  # title, movie_name
        not about and alone and names,  # name
        not about and ((names and items) or names & _TITLES or (alone and items)),  # original_title, movie
        not about and names,  # brand_name
        names,  # title_image
    )
    return next((len(rules) - place for place, fitting in enumerate(rules) if fitting), 0)
