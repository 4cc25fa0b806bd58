"""The page for people: no script, no font, no picture from anywhere else."""

from html import escape

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem }
.by { color: #666; margin-top: 0 }
@media (prefers-color-scheme: dark) { .by { color: #aaa } }
.by b { font-weight: 600; color: CanvasText }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0 }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line) }
td:last-child, th:last-child { text-align: right; font-variant-numeric: tabular-nums }
form { display: flex; gap: .5rem; flex-wrap: wrap; align-items: end; background: var(--soft); padding: .8rem; border-radius: .5rem }
label { display: grid; font-size: .85rem }
input, button { font: inherit; padding: .3rem .5rem }
"""


def render(answer):
    rows = "".join(
        f"<tr><td>{row['id']}</td><td>{escape(row['name'])}</td><td>{escape(row['price'])}</td></tr>" for row in answer["rows"]
    )
    database = answer["database"]
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shop</title>
<style>{STYLE}</style>
<main>
<h1>Shop</h1>
<p class="by">Served by <b>{escape(answer["web"])}</b>, rows from <b>{escape(database["name"])}</b> ({database["role"]}), {answer["count"]} items</p>
<form method="post" action="/items">
<label>Name <input name="name" required maxlength="80"></label>
<label>Price <input name="price" required inputmode="decimal" pattern="[0-9]{{1,6}}([.][0-9]{{1,2}})?" size="8"></label>
<button>Add</button>
</form>
<table><thead><tr><th>No.</th><th>Item</th><th>Price</th></tr></thead><tbody>{rows}</tbody></table>
</main>
</html>
"""


def problem(web, what):
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Shop</title><style>{STYLE}</style>
<main><h1>Shop</h1><p class="by">Served by <b>{escape(web)}</b></p><p>{escape(what)}</p></main></html>
"""
