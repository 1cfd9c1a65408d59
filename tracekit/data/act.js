// What a click or a key does inside a drawn trace: copy an address, go to an item, fold all, or tell the viewer's Python side.
// It stands in the attributes of one element and never looks at anything but data-* attributes.
const root = this, ev = event;
const box = root.closest('.tk-viewer')?.querySelector('.tk-inbox input');
// What is drawn anew loses the focus: it goes back to the same button, or to the head of the same item.
const keep = t => {
  const w = root.closest('.tk-viewer'), v = t.dataset, at = t.closest('.tk-e')?.dataset.at, verb = (v.do || '').split(' ')[0];
  const back = () => {
    if (document.activeElement !== document.body) return;
    const all = [...w.querySelectorAll('[data-do]')], e = at && [...w.querySelectorAll('.tk-e')].find(x => x.dataset.at === at);
    (all.find(x => x.dataset.do === v.do) || (e && (verb === 'more' && e.querySelector('[data-do^="more "]') || e.querySelector('summary'))))?.focus({preventScroll: true});
  };
  window.tkSeen?.disconnect();
  const seen = window.tkSeen = new MutationObserver(back);
  seen.observe(w, {childList: true, subtree: true});
  setTimeout(() => seen.disconnect(), 3000);
};
const send = m => { if (!box) return false; box.value = m + ' #' + (window.tkSent = (window.tkSent || 0) + 1); box.dispatchEvent(new Event('change', {bubbles: true})); return true; };
const t = ev.target.closest?.('[data-copy],[data-go],[data-do],summary');
if (ev.type === 'keydown') {
  const s = ev.target.closest?.('.tk-strip'), d = {ArrowRight: 1, ArrowLeft: -1, Home: -1e9, End: 1e9}[ev.key];
  if (ev.key.length === 1 || ev.key.startsWith('Arrow') || ev.key === 'Enter') if (!ev.ctrlKey && !ev.metaKey && !ev.altKey && !ev.shiftKey) ev.stopPropagation();   // not a shortcut of the notebook
  if (s && d) { const m = [...s.querySelectorAll('a')], n = Math.min(m.length - 1, Math.max(0, m.indexOf(ev.target) + d)); ev.target.tabIndex = -1; m[n].tabIndex = 0; m[n].focus(); ev.preventDefault(); ev.stopPropagation(); }
} else if (t && root.contains(t)) {
  const v = t.dataset;
  if (v.copy) {
    const said = () => { const was = t.textContent; if (was !== 'copied') { t.textContent = 'copied'; setTimeout(() => { t.textContent = was; }, 900); } };
    const old = () => { const a = document.createElement('textarea'); a.value = v.copy; document.body.append(a); a.select(); document.execCommand('copy'); a.remove(); t.focus(); said(); };
    if (navigator.clipboard) navigator.clipboard.writeText(v.copy).then(said, old); else old();
    send('at ' + v.copy); ev.preventDefault();
  } else if (v.go) {
    const wide = root.closest('.tk-viewer') || root.parentElement, e = wide.querySelector('.tk-e[data-at~="' + v.go + '"]');
    if (e) { for (let x = e; x && x !== wide; x = x.parentElement) if (x.tagName === 'DETAILS') x.open = true;
      const f = e.querySelector('details'); if (f) f.open = true;
      wide.querySelectorAll('.tk-target').forEach(x => x.classList.remove('tk-target')); e.classList.add('tk-target');
      e.scrollIntoView({block: 'center'}); e.querySelector('summary')?.focus({preventScroll: true}); ev.preventDefault(); }
    else if (send('go ' + v.go)) ev.preventDefault();
  } else if (v.do) {
    if (send(v.do)) { ev.preventDefault(); if (v.do.startsWith('at ')) root.closest('.tk-viewer').querySelector('.tk-ask input')?.focus(); else keep(t); }
  }
  else if (t.tagName === 'SUMMARY') { const e = t.closest('.tk-e'), f = t.parentElement; if (e && f.parentElement === e) send((f.open ? 'fold ' : 'unfold ') + e.dataset.at.split(' ')[0]); }
}
