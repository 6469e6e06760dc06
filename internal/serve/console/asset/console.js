// The console works without this file; it adds the keyboard, the theme switch without a
// page load and the words of live regions. Nothing here writes markup.
(() => {
  'use strict';
  const by = (s) => document.querySelector(s);
  const keysOff = 'chatelaine.keys.off';

  // Theme: the form posts without us; with us the switch is at once and the post stores it.
  document.addEventListener('submit', (e) => {
    const form = e.target;
    if (!form.matches('form[data-theme-switch]')) return;
    e.preventDefault();
    const choice = e.submitter ? e.submitter.value : '';
    if (choice) document.documentElement.dataset.theme = choice;
    else delete document.documentElement.dataset.theme;
    for (const b of form.querySelectorAll('button')) b.setAttribute('aria-pressed', String(b.value === choice));
    form.removeAttribute('data-kept');
    fetch(form.action, { method: 'POST', body: new URLSearchParams({ theme: choice }), redirect: 'manual', keepalive: true })
      .then(() => form.setAttribute('data-kept', choice));
  });

  // A form that was sent is not sent twice by an impatient hand.
  document.addEventListener('submit', (e) => {
    if (e.defaultPrevented || e.target.method !== 'post') return;
    for (const b of e.target.querySelectorAll('button')) {
      setTimeout(() => { b.disabled = true; }, 0);
      if (e.target.matches('[data-saves]')) setTimeout(() => { b.disabled = false; }, 2000); // the page stays
    }
  });
  window.addEventListener('pageshow', (e) => {
    if (e.persisted) for (const b of document.querySelectorAll('form button')) b.disabled = false;
  });

  // What is there to be copied is copied by one click.
  for (const b of document.querySelectorAll('[data-copy]')) b.hidden = false;
  document.addEventListener('click', (e) => {
    const b = e.target.closest('[data-copy]');
    if (!b) return;
    navigator.clipboard.writeText(b.closest('.copy').querySelector('pre').textContent)
      .then(() => { b.textContent = 'Copied'; setTimeout(() => { b.textContent = 'Copy'; }, 2000); });
  });

  // An open menu closes with Escape and with a click beside it.
  document.addEventListener('click', (e) => {
    for (const d of document.querySelectorAll('details.drop[open]')) if (!d.contains(e.target)) d.open = false;
  });

  const rows = () => [...document.querySelectorAll('[data-row]')].filter((a) => a.offsetParent !== null);
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by));
    all[next].focus();
  };
  const search = () => { const s = by('#q') || by('#search'); if (s) { s.focus(); s.select(); } };

  document.addEventListener('keydown', (e) => {
    if (e.key === 'Escape') {
      for (const d of document.querySelectorAll('details.drop[open]')) { d.open = false; d.querySelector('summary').focus(); }
      return;
    }
    if ((e.metaKey || e.ctrlKey) && !e.altKey && e.key.toLowerCase() === 'k') {
      const s = by('#search') || by('#q');
      if (s) { e.preventDefault(); s.focus(); s.select(); }
      return;
    }
    if (e.metaKey || e.ctrlKey || e.altKey || by('dialog[open]')) return;
    if (e.target.closest('input, textarea, select, [contenteditable]')) return;
    if (localStorage.getItem(keysOff)) return;
    const act = {
      '/': search, j: () => step(1), k: () => step(-1),
      o: () => { const a = document.activeElement; if (a && a.matches('[data-row]')) a.click(); },
      '?': () => { const d = by('#keys'); if (d) d.showModal(); },
    }[e.key];
    if (act) { e.preventDefault(); act(); }
  });

  // Single keys can be switched off, for those who speak or tremble.
  const box = by('#keys-on');
  if (box) {
    box.checked = !localStorage.getItem(keysOff);
    box.addEventListener('change', () => (box.checked ? localStorage.removeItem(keysOff) : localStorage.setItem(keysOff, '1')));
  }
  document.addEventListener('click', (e) => {
    if (e.target.closest('[data-keys]')) { const d = by('#keys'); if (d) d.showModal(); }
  });
})();
