// What a page does with its samples. Every state stands in the address, after the #; `apply` makes the page show it.
// The markup of the samples comes from Python, escaped, in packed blocks; nothing that a trace says is ever run or fetched.
(() => {
'use strict';
const main = document.querySelector('main'), $ = id => document.getElementById(id);
const list = $('tk-list'), several = !!$('tk-rows'), QUICK = 1000000;
main.classList.remove('tk-static');

// Packed blocks: JSON, deflated, base64. The browser may still be reading the page; a block is whole if something follows it
const read = new Promise(done => { if (document.readyState === 'loading') addEventListener('DOMContentLoaded', done); else done(); });
async function unpack(id) {
  if (!$(id)?.nextSibling) await read;
  const bytes = Uint8Array.from(atob($(id).textContent), c => c.charCodeAt(0));
  const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'))).text();
  return JSON.parse(text);
}
const kept = new Map(), once = id => { if (!kept.has(id)) kept.set(id, unpack(id)); return kept.get(id); };
const make = (name, cls, text, data = {}) => { const e = document.createElement(name); e.className = cls; e.textContent = text; Object.assign(e.dataset, data); if (name === 'button') e.type = 'button'; return e; };
const say = (id, text) => { const e = $(id); if (e && e.textContent !== text) e.textContent = text; };

// The state in the address
const state = () => new URLSearchParams(location.hash.slice(1));
const written = s => '#' + [...s].map(([k, v]) => [k, v].map(x => encodeURIComponent(x).replace(/%5B/g, '[').replace(/%5D/g, ']').replace(/%20/g, '+')).join('=')).join('&');
const changed = changes => { const s = state(); for (const [k, v] of Object.entries(changes)) { if (v === '' || v === null) s.delete(k); else s.set(k, v); } return s; };
function go(changes, quietly) {
  const hash = written(changed(changes));
  if (hash === written(state())) last.at = last.hit = null;
  else try { history[quietly ? 'replaceState' : 'pushState'](null, '', hash); } catch { location.hash = hash; return; }
  apply();
}

// The samples: which of them, in which order
let info, order = [], arranged = null;
const shown = v => v === null || v === undefined ? '' : typeof v === 'string' ? v : JSON.stringify(v);
function condition(text) {
  const wanted = text.trim(), m = /^(<=|>=|<|>)(.*)$/s.exec(wanted), not = wanted.startsWith('!'), body = wanted.slice(not ? 1 : 0).trim();
  if (wanted === 'empty' || wanted === '!empty') return v => (shown(v) === '') === (wanted === 'empty');
  if (m) {
    const limit = Number(m[2]), holds = {'<': v => v < limit, '<=': v => v <= limit, '>': v => v > limit, '>=': v => v >= limit}[m[1]];
    if (!m[2].trim() || Number.isNaN(limit)) throw new Error(`expected a number after ${m[1]}, such as ${m[1]}0.5`);
    return v => (typeof v === 'number' || typeof v === 'boolean') && holds(v);
  }
  const whole = body.startsWith('=') ? body.slice(1).trim().toLowerCase() : null;
  if (whole !== null) return v => (typeof v === 'number' ? whole !== '' && Number(whole) === v : shown(v).toLowerCase() === whole) !== not;
  return v => shown(v).toLowerCase().includes(body.toLowerCase()) !== not;
}
const column = (k, name) => info.rows[k][info.columns.indexOf(name)];
function compare(name, sign) {
  return (a, b) => {
    const [x, y] = [column(a, name), column(b, name)], gone = v => v === null || v === undefined, text = v => typeof v === 'string';
    if (gone(x) || gone(y)) return gone(x) - gone(y);
    if (text(x) !== text(y)) return (text(x) - text(y))*sign;
    if (text(x)) { const [p, q] = [x.toLowerCase(), y.toLowerCase()]; return (p < q ? -1 : p > q ? 1 : 0)*sign; }
    return (x - y)*sign;
  };
}
const blocks = () => [...document.querySelectorAll('script[data-texts]')].map(e => [e.id, Number(e.dataset.texts)]);
async function textsOf(k) {
  await read;
  const [id, first] = blocks().filter(b => b[1] <= k).pop();
  return (await once(id))[k - first];
}
const lowered = new Map();
async function having(text) {
  const wanted = text.toLowerCase(), found = new Set();
  await read;
  for (const [id, first] of blocks()) {
    if (!lowered.has(id)) lowered.set(id, (await once(id)).map(texts => texts.join('\n').toLowerCase()));
    lowered.get(id).forEach((t, n) => { if (t.includes(wanted)) found.add(first + n); });
  }
  return found;
}
async function arrange(s) {
  const asked = JSON.stringify([...s].filter(([k]) => /^(find|verdict|sort|why|where\..*)$/s.test(k)));
  if (asked === arranged) return;
  const tests = [];
  let wrong = '';
  for (const [k, v] of s) if (k.startsWith('where.')) {
    const name = k.slice(6);
    try { const holds = condition(v); tests.push(n => holds(column(n, name))); } catch (e) { wrong = `${name}: ${e.message}`; }
  }
  const verdict = {failed: false, passed: true, unknown: null}[s.get('verdict')], kind = s.get('why');
  if (verdict !== undefined) tests.push(n => info.verdicts[n] === verdict);
  if (kind !== null) tests.push(n => info.kinds[n].includes(Number(kind)));
  if (s.get('find')) { const found = await having(s.get('find')); tests.push(n => found.has(n)); }
  order = info.names.map((_, n) => n).filter(n => tests.every(t => t(n)));
  const [how, name] = [(s.get('sort') || '').split(' ')[0], (s.get('sort') || '').replace(/^\S+ /, '')];
  if (how === 'file') order.sort((a, b) => info.numbers[a] - info.numbers[b]);
  else if (how === 'up' || how === 'down') order.sort(compare(name, how === 'up' ? 1 : -1));
  const body = $('tk-rows').tBodies[0], there = new Set(order);
  for (const row of body.rows) row.hidden = !there.has(Number(row.dataset.k));
  const rows = new Map([...body.rows].map(r => [Number(r.dataset.k), r]));
  body.append(...order.map(n => rows.get(n)));
  for (const b of $('tk-rows').tHead.querySelectorAll('[data-sort]')) {
    const on = (how === 'up' || how === 'down') && b.dataset.sort === name;
    b.closest('th').ariaSort = on ? (how === 'up' ? 'ascending' : 'descending') : 'none';
    b.classList.toggle('tk-up', on && how === 'up'); b.classList.toggle('tk-down', on && how === 'down');
  }
  const all = info.names.length, few = order.length < all;
  say('tk-count', wrong || (few ? `${order.length.toLocaleString('en')} of ${all.toLocaleString('en')} samples` : `${all.toLocaleString('en')} sample${all === 1 ? '' : 's'}`));
  const chips = [...s].filter(([k]) => k.startsWith('where.') || k === 'why').map(([k, v]) =>
    make('button', '', `${k === 'why' ? info.kind_names[Number(v)] : `${k.slice(6)} ${v}`} ×`, {drop: k}));
  $('tk-chips').replaceChildren(...chips);
  for (const b of main.querySelectorAll('[data-do^="kind "]')) b.ariaPressed = String(b.dataset.do === `kind ${kind}`);
  arranged = asked;
}

// The open sample: its entries are [address, address of the result, who, kind, tool, failed, thinks]
let now = {k: -1, entries: [], parts: []}, last = {};
async function open(k, turn) {
  const first = await unpack(`z${k}.0`);
  if (turn !== turns) return;
  const before = now.k;
  now = {k, entries: first.entries, starts: first.starts, rest: first.rest, parts: [Promise.resolve(first)], filled: new Set(), json: new Map(), texts: null};
  const head = $('tk-head'), fresh = head.dataset.k !== String(k);
  if (fresh) { head.innerHTML = first.head; head.dataset.k = k; }
  const keep = fresh ? null : list.firstElementChild;
  list.replaceChildren(...now.starts.map((start, p) => {
    if (p === 0 && keep) return keep;
    const part = make('div', 'tk-part', '', {part: p});
    if (p) { part.append(make('button', 'tk-later', `show entries ${start + 1} to ${endOf(p)}`, {part: p})); near.observe(part); }
    return part;
  }));
  await fill(0, !fresh);
  last = {};
  const pane = $('tk-head').parentElement;
  if (before >= 0 && pane.getBoundingClientRect().top < 0) pane.scrollIntoView();
  const count = (i, test) => { const m = new Map(); for (const e of now.entries) if (test(e)) m.set(e[i], (m.get(e[i]) || 0) + 1); return m; };
  const kinds = count(3, () => true), thinking = now.entries.filter(e => e[6]).length;
  if (thinking) kinds.set('thinking', thinking);
  options('tk-who', 'everybody', count(2, () => true)); options('tk-kind', 'all kinds', kinds); options('tk-tool', 'all tools', count(4, e => e[3] === 'call'));
  if (!several) return;
  for (const row of $('tk-rows').tBodies[0].rows) {
    const on = Number(row.dataset.k) === k, link = row.querySelector('a');
    row.classList.toggle('tk-on', on);
    if (on) { link.ariaCurrent = 'true'; const box = $('tk-rows').closest('.tk-rows'), [r, b] = [row.getBoundingClientRect(), box.getBoundingClientRect()];
      if (r.top < b.top + 30 || r.bottom > b.bottom) box.scrollTop += r.top - b.top - b.height/3; } else link.removeAttribute('aria-current');
  }
}
function options(id, all, counted) {
  $(id).replaceChildren(new Option(all, ''), ...[...counted].sort((a, b) => b[1] - a[1]).map(([v, n]) => new Option(`${v.length > 40 ? v.slice(0, 39) + '…' : v} (${n})`, v)));
}
const endOf = p => p + 1 < now.starts.length ? now.starts[p + 1] : now.entries.length;
const partOf = n => now.starts.findLastIndex(start => start <= n);
const article = n => $(`s${now.k}-${n}`)?.closest('.tk-e,.tk-span');
const numberOf = e => Number(e.id.split('-').pop());
const part = p => list.children[p];
async function fill(p, there) {
  const mine = now;
  if (mine.filled.has(p)) return;
  mine.parts[p] ??= unpack(`z${mine.k}.${p}`);
  const data = await mine.parts[p];
  if (mine !== now || mine.filled.has(p)) return;
  if (!there) part(p).innerHTML = data.html;
  part(p).style.minHeight = '';
  for (const [at, text] of Object.entries(data.json)) mine.json.set(at, text);
  mine.filled.add(p);
  near.unobserve(part(p));
  dress(part(p), state(), true);
}
const near = new IntersectionObserver(seen => { for (const e of seen) if (e.isIntersecting) fill(Number(e.target.dataset.part)); }, {rootMargin: '600px'});

// What is shown of it: filters, folds, forms, marks
const usual = n => !['call', 'output', 'span'].includes(now.entries[n][3]);
function filter(s) {
  const [who, kind, tool, errors] = ['who', 'kind', 'tool', 'errors'].map(k => s.get(k) || '');
  return e => (!who || e[2] === who) && (!kind || e[3] === kind || kind === 'thinking' && e[6]) && (!tool || e[3] === 'call' && e[4] === tool) && (!errors || e[5]);
}
function dress(root, s, fresh) {
  const fits = now.entries.map(filter(s)), fold = s.get('fold') || '', show = s.get('show') || '';
  list.classList.toggle('tk-in-plain', show === 'text');
  for (const e of root.querySelectorAll('article.tk-e')) {
    const n = numberOf(e), box = e.querySelector('details');
    e.hidden = !fits[n];
    if (fresh || fold !== last.fold) {
      if (fold || !fresh) { box.open = fold ? fold === 'all' : usual(n); for (const d of e.querySelectorAll('.tk-think,.tk-more')) d.open = fold === 'all'; }
    }
    if (fresh || show !== last.show) asJson(e, show === 'json');
  }
  for (const e of [...root.querySelectorAll('.tk-span')].reverse()) {
    e.hidden = !e.querySelector('article.tk-e:not([hidden]),.tk-span:not([hidden])') && !fits[numberOf(e.querySelector('summary[id]') || {id: '-1'})];
    if (fold && (fresh || fold !== last.fold)) e.open = fold === 'all';
  }
  if (now.texts && s.get('q')) mark(root, s.get('q'));
}
function asJson(e, on) {
  const body = e.querySelector('.tk-body'), acts = body.querySelector('.tk-act'), made = body.querySelector('.tk-json');
  if (on && !made) for (const at of e.dataset.at.split(' ').reverse()) {
    const box = make('div', 'tk-json', ''), pre = make('pre', '', now.json.get(at) ?? '');
    pre.tabIndex = 0;
    box.append(make('span', 'tk-sub', `${at} `), make('button', '', 'copy JSON', {json: at}), pre);
    acts.after(box);
  }
  e.classList.toggle('tk-asjson', on);
  for (const b of body.querySelectorAll('.tk-json')) b.hidden = !on;
  const button = body.querySelector('[data-do^="raw "]');
  if (button) button.textContent = on ? 'as usual' : 'JSON';
}
async function whole() {
  await Promise.all(now.starts.map((_, p) => now.parts[p] ??= unpack(`z${now.k}.${p}`)));
  const all = {};
  for (const p of now.parts) Object.assign(all, (await p).json);
  const items = Object.keys(all).filter(at => /^items\[\d+\]$/.test(at)).sort((a, b) => a.slice(6, -1) - b.slice(6, -1));
  return `{\n"items": [\n${items.map(at => all[at]).join(',\n')}\n]${now.rest}`;
}
async function asWhole(on) {
  const box = $('tk-whole');
  list.hidden = on; box.hidden = !on;
  if (!on || box.dataset.k === String(now.k)) return;
  const text = await whole(), pre = make('pre', '', text.length > QUICK ? `${text.slice(0, QUICK)}\n… ${(text.length - QUICK).toLocaleString('en')} more characters; the button copies all` : text);
  pre.tabIndex = 0;
  box.replaceChildren(make('button', '', 'copy JSON', {json: ''}), pre);
  box.dataset.k = now.k;
}
function dim(s) {
  const fits = now.entries.map(filter(s)), marks = [...$('tk-head').querySelectorAll('.tk-strip a')], lot = Math.max(1, Math.ceil(now.entries.length/Math.max(1, marks.length)));
  marks.forEach((m, i) => m.classList.toggle('tk-dim', !fits.slice(i*lot, (i + 1)*lot).some(x => x)));
  now.starts.forEach((start, p) => {
    const n = fits.slice(start, endOf(p)).filter(x => x).length;
    part(p).hidden = !n && p > 0;
    if (!now.filled.has(p)) part(p).style.minHeight = `${n*34}px`;
  });
  const left = fits.filter(x => x).length, all = now.entries.length;
  say('tk-left', left === all ? `${all.toLocaleString('en')} entries` : left ? `${left.toLocaleString('en')} of ${all.toLocaleString('en')} entries` : 'no entry is left by the filters');
}

// Search in the open sample
const searched = q => new RegExp(q.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'gi');
const SKIP = '.tk-nice,.tk-who,.tk-head,.tk-at,.tk-n,.tk-tag,.tk-sub,.tk-note,.tk-json,button,.tk-more>summary,.tk-think>summary';
function unmark() {
  for (const e of list.querySelectorAll('.tk-found')) {
    for (const m of e.querySelectorAll('mark')) { const p = m.parentNode; m.replaceWith(...m.childNodes); p.normalize(); }
    e.classList.remove('tk-found');
    e.querySelector('summary').removeAttribute('data-hits');
  }
}
function mark(root, q) {
  const wanted = searched(q);
  for (const e of root.querySelectorAll('article.tk-e:not(.tk-found)')) {
    const hits = now.counts[numberOf(e)];
    if (!hits) continue;
    e.classList.add('tk-found');
    e.querySelector('summary').dataset.hits = `${hits} found`;
    const walk = document.createTreeWalker(e, NodeFilter.SHOW_TEXT, t => t.parentElement.closest(SKIP) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT), nodes = [];
    while (walk.nextNode()) nodes.push(walk.currentNode);
    for (const node of nodes) for (const m of [...node.data.matchAll(wanted)].reverse()) {
      const hit = node.splitText(m.index);
      hit.splitText(m[0].length);
      hit.replaceWith(make('mark', '', hit.data));
    }
  }
}
async function search(s) {
  const q = s.get('q') || '', mine = now;
  if (q !== last.q) {
    const texts = q ? now.texts || (await textsOf(now.k)).slice(1) : null;
    if (mine !== now) return;
    unmark();
    now.texts ??= texts;
    const wanted = q ? searched(q) : null;
    now.counts = q ? texts.map(t => (t.match(wanted) || []).length) : [];
    now.total = now.counts.reduce((a, b) => a + b, 0);
    if (q) mark(list, q);
  }
  const hit = now.total ? Math.min(now.total, Math.max(1, Number(s.get('hit')) || 1)) : 0;
  say('tk-hits', !q ? '' : now.total ? `${hit.toLocaleString('en')} of ${now.total.toLocaleString('en')}` : 'not found');
  if (!hit || q === last.q && s.get('hit') === last.hit) return;
  let n = 0, before = 0;
  while (before + now.counts[n] < hit) before += now.counts[n++];
  await reveal(n);
  if (mine !== now) return;
  list.querySelector('mark.tk-now')?.classList.remove('tk-now');
  const there = article(n), m = there?.querySelectorAll('mark')[hit - before - 1] || there;
  if (m?.localName === 'mark') m.classList.add('tk-now');
  for (let x = m; x && x !== list; x = x.parentElement) if (x.localName === 'details') x.open = true;
  const typing = document.activeElement.id;   // in a field that must not scroll away
  if (typing !== 'tk-all' && (typing !== 'tk-q' || s.get('hit') || innerWidth > 520)) m?.scrollIntoView({block: 'center'});
}

// Going to an item
function entryAt(at) {
  const holds = a => a && (at === a || at.startsWith(a + '.') || at.startsWith(a + ':'));
  let best = -1, length = 0;
  now.entries.forEach((e, n) => { for (const a of [e[0], e[1]]) if (holds(a) && a.length > length) { best = n; length = a.length; } });
  return best;
}
async function reveal(n) {
  await fill(partOf(n));
  const e = article(n);
  for (let x = e; x && x !== list; x = x.parentElement) { x.hidden = false; if (x.localName === 'details') x.open = true; }
  const box = e?.querySelector('details');
  if (box) box.open = true;
  return e;
}
async function goTo(at) {
  for (const x of main.querySelectorAll('.tk-target,.tk-here')) x.classList.remove('tk-target', 'tk-here');
  const n = at ? entryAt(at) : -1;
  say('tk-lost', at && n < 0 ? `This trace has no ${at}.` : '');
  if (n < 0) return;
  const e = await reveal(n), marks = $('tk-head').querySelectorAll('.tk-strip a'), lot = Math.max(1, Math.ceil(now.entries.length/Math.max(1, marks.length)));
  if (!e) return;
  e.classList.add('tk-target');
  marks[Math.floor(n/lot)]?.classList.add('tk-here');
  e.scrollIntoView({block: e.offsetHeight > innerHeight*0.7 ? 'start' : 'center'});
  e.querySelector('summary').focus({preventScroll: true});
}

// The page as the address says
let turns = 0;
async function apply() {
  const turn = ++turns, s = state(), asked = s.get('sample');
  if (several) await arrange(s);
  if (turn !== turns) return;
  const named = asked === null ? -1 : info.names.indexOf(asked), k = named >= 0 ? named : order[0] ?? Math.max(0, now.k);
  if (k !== now.k && info.names.length) { await open(k, turn); if (turn !== turns) return; document.title = `${info.titles[k]} · ${info.title}`; }
  say('tk-missing', asked !== null && named < 0 ? `This page has no sample ${asked}.` : '');
  if (!info.names.length) return;
  say('tk-place', `${(order.indexOf(k) + 1 || '–').toLocaleString('en')} of ${order.length.toLocaleString('en')}`);
  dress(list, s, false);
  dim(s);
  await asWhole(s.get('show') === 'trace');
  const at = s.get('at'), moved = at !== (last.at ?? null), first = !('at' in last);
  await search(at && first ? changed({q: s.get('q'), hit: ''}) : s);
  if (turn !== turns) return;
  if (at ? moved : !first && moved) await goTo(at);
  controls(s);
  last = {at, q: s.get('q') || '', hit: s.get('hit'), fold: s.get('fold') || '', show: s.get('show') || ''};
}
function controls(s) {
  for (const e of main.querySelectorAll('[data-key]')) {
    const key = e.dataset.key === 'where.' ? `where.${$('tk-column').value}` : e.dataset.key, v = s.get(key) || '';
    if (e.type === 'checkbox') e.checked = !!v;
    else if (e !== document.activeElement || e.localName === 'select') e.value = v;
  }
}

// Mouse and keys
const step = by => { const at = order.indexOf(now.k), next = order[at < 0 ? 0 : at + by]; if (next !== undefined) go({sample: info.names[next], at: '', hit: ''}); };
const hitBy = by => { if (now.total) { const s = state(), was = Number(s.get('hit')) || 1; go({hit: String((was - 1 + by + now.total) % now.total + 1)}, true); } };
const fold = how => { go({fold: state().get('fold') === how ? '' : how}, true); };
async function copy(text, button) {
  const old = () => { const a = document.createElement('textarea'); a.value = text; document.body.append(a); a.select(); document.execCommand('copy'); a.remove(); button.focus(); };
  try { await navigator.clipboard.writeText(text); } catch { old(); }
  const was = button.textContent;
  if (was !== 'copied') { button.textContent = 'copied'; setTimeout(() => { button.textContent = was; }, 900); }
}
async function print_() { await Promise.all(now.starts.map((_, p) => fill(p))); window.print(); }
const acts = {
  previous: () => step(-1), next: () => step(1), unfold: () => fold('all'), fold: () => fold('none'), before: () => hitBy(-1), after: () => hitBy(1), print: print_,
  kind: n => go({why: state().get('why') === n ? '' : n}),
  raw: (_, e) => asJson(e, !e.classList.contains('tk-asjson')),
};
main.addEventListener('click', async ev => {
  const t = ev.target.closest('[data-copy],[data-go],[data-do],[data-sort],[data-drop],[data-part],[data-json],td a');
  if (!t || ev.ctrlKey || ev.metaKey || ev.shiftKey || t.matches('div')) return;
  const d = t.dataset, [act, ...rest] = (d.do || '').split(' ');
  if (!t.matches('input,select')) ev.preventDefault();
  if (d.copy) copy(d.copy, t);
  else if (d.go) go({at: d.go});
  else if (d.json !== undefined) copy(d.json ? now.json.get(d.json) : await whole(), t);
  else if (d.sort !== undefined) go({sort: state().get('sort') === `up ${d.sort}` ? `down ${d.sort}` : `up ${d.sort}`});
  else if (d.drop) go({[d.drop]: ''});
  else if (d.part) fill(Number(d.part));
  else if (acts[act]) acts[act](rest.join(' '), t.closest('.tk-e'));
  else if (t.localName === 'a' && t.closest('tr')) go({sample: info.names[Number(t.closest('tr').dataset.k)], at: '', hit: ''});
});
let waiting = 0;
main.addEventListener('input', ev => {
  const e = ev.target, key = e.dataset.key;
  if (e.id === 'tk-column') { $('tk-cond').value = state().get(`where.${e.value}`) || ''; return; }
  if (!key) return;
  clearTimeout(waiting);
  const value = e.type === 'checkbox' ? (e.checked ? '1' : '') : e.value;
  const act = () => go({[key === 'where.' ? `where.${$('tk-column').value}` : key]: value, ...(key === 'q' ? {hit: ''} : key === 'find' ? {q: value, hit: ''} : {})}, e.localName === 'input' && e.type !== 'checkbox');
  if (e.localName === 'select' || e.type === 'checkbox') act(); else waiting = setTimeout(act, 200);
});
const focus = (...ids) => { const e = ids.map($).find(x => x); e?.focus(); e?.select(); };
const keys = {
  j: () => step(1), k: () => step(-1), n: () => hitBy(1), p: () => hitBy(-1), u: () => fold('all'), f: () => fold('none'),
  '/': () => focus('tk-all', 'tk-q'), t: () => focus('tk-q'), e: () => { const n = now.entries.findIndex((x, i) => x[5] && i > entryAt(state().get('at') || '-')); if (n >= 0) go({at: now.entries[n][0]}); },
};
document.addEventListener('keydown', ev => {
  const t = ev.target, strip = t.closest?.('.tk-strip'), by = {ArrowRight: 1, ArrowLeft: -1, Home: -1e9, End: 1e9}[ev.key];
  if (ev.ctrlKey || ev.metaKey || ev.altKey) return;
  if (t.id === 'tk-q' && ev.key === 'Enter') { hitBy(ev.shiftKey ? -1 : 1); ev.preventDefault(); }
  else if (t.id === 'tk-all' && ev.key === 'Enter') { $('tk-rows').querySelector('tbody tr:not([hidden]) a')?.focus(); ev.preventDefault(); }
  else if (t.matches?.('input,textarea') && ev.key === 'Escape') { t.blur(); ev.preventDefault(); }
  else if (strip && by) {
    const marks = [...strip.children], n = Math.min(marks.length - 1, Math.max(0, marks.indexOf(t) + by));
    t.tabIndex = -1; marks[n].tabIndex = 0; marks[n].focus(); ev.preventDefault();
  } else if (!t.matches?.('input:not([type=checkbox]),select,textarea') && keys[ev.key]) { keys[ev.key](); ev.preventDefault(); }
});
let folded = [];
addEventListener('beforeprint', () => { folded = [...list.querySelectorAll('details:not([open])')]; for (const d of folded) d.open = true; });
addEventListener('afterprint', () => { for (const d of folded) d.open = false; folded = []; });
addEventListener('popstate', apply);
addEventListener('hashchange', apply);
unpack('tk-values').then(values => { info = values; order = info.names.map((_, n) => n); return apply(); }).then(() => { main.dataset.ready = 'yes'; })
  .catch(e => { main.classList.add('tk-static'); say('tk-off', `The other samples cannot be shown: ${e.message}. A browser from 2023 or later is needed.`); });
})();
