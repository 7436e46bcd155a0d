// What the inbox and the preview have in common: how a mail is shown.

// el makes an element. Text goes in as text, never as HTML.
export function el(name, properties = {}, ...children) {
	const element = document.createElement(name);
	for (const [key, value] of Object.entries(properties)) {
		if (value === undefined || value === null || value === false) continue;
		if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
		else if (key === 'class') element.className = value;
		else if (key === 'hidden' || key === 'disabled' || key === 'checked') element[key] = value;
		else element.setAttribute(key, value === true ? '' : value);
	}
	element.append(...children.filter((child) => child !== null && child !== undefined));
	return element;
}

// roving lets the arrow keys move among elements of which one at a time is in the order of the Tab key.
export function roving(container, selector, { vertical = false, choose } = {}) {
	const [back, forth] = vertical ? ['ArrowUp', 'ArrowDown'] : ['ArrowLeft', 'ArrowRight'];
	container.addEventListener('keydown', (event) => {
		const all = [...container.querySelectorAll(selector)];
		const at = all.indexOf(event.target.closest(selector));
		if (at < 0) return;
		const to = { [back]: at - 1, [forth]: at + 1, Home: 0, End: all.length - 1 }[event.key];
		if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
		event.preventDefault();
		const next = all[Math.min(Math.max(to, 0), all.length - 1)];
		for (const one of all) one.tabIndex = one === next ? 0 : -1;
		next.focus();
		if (choose) choose(next);
	});
}

export function size(bytes) {
	if (bytes < 1024) return `${bytes} bytes`;
	return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

// remembered is what was chosen last, as long as the page is open.
const remembered = { tab: 'mail', width: 'desktop', scheme: 'light' };

function choices(legend, name, values, changed) {
	return el('fieldset', { class: 'choices' }, el('legend', { class: 'unseen' }, legend), ...values.map(([value, label]) =>
		el('label', {}, el('input', {
			type: 'radio', name, value, checked: remembered[name] === value,
			onchange: () => { remembered[name] = value; changed(); },
		}), label)));
}

export function table(head, rows) {
	if (rows.length === 0) return null;
	return el('table', {},
		head && el('thead', {}, el('tr', {}, ...head.map((cell) => el('th', { scope: 'col' }, cell)))),
		el('tbody', {}, ...rows.map(([first, ...others]) => el('tr', {},
			el('th', { scope: 'row' }, first), ...others.map((cell) => el('td', {}, cell))))));
}

function frame(mail, address) {
	if (!mail.has_html) {
		const why = mail.template ? `Mandrill fills its template “${mail.template}”, which isn’t here. Its regions and variables are under Merge.` : 'The mail has no HTML part.';
		return el('p', { class: 'none' }, why);
	}
	// A sandbox without any permission: no script, no form, no window, no origin.
	return el('iframe', { onload: (event) => { event.target.dataset.loaded = 'true'; }, sandbox: '', src: address, title: 'The mail as HTML', 'data-width': remembered.width, 'data-scheme': remembered.scheme, tabindex: '0' });
}

function mergePanel(mail) {
	const shown = (value) => typeof value === 'string' ? value : JSON.stringify(value);
	const parts = [];
	if (!mail.merged) parts.push(el('p', { class: 'dim' }, 'The mail has no merge variables, and merging is off: Mandrill leaves tags as they are.'));
	for (const region of mail.regions) parts.push(el('h3', {}, `Region ${region.name}`), el('pre', {}, region.content));
	const rows = mail.vars.map((v) => [v.name, shown(v.content), v.global ? 'everybody' : 'this recipient']);
	if (rows.length) parts.push(table(['Variable', 'Value', 'Of'], rows));
	return parts;
}

function filesPanel(mail, files) {
	const rows = mail.files.map((file, i) => [
		el('a', { href: `${files}${i}`, download: file.name || `file-${i}` }, file.name || '(no name)'), file.type, size(file.size), file.inline ? 'image in the mail' : 'attachment']);
	return [table(['Name', 'Type', 'Size', 'Is'], rows) || el('p', { class: 'dim' }, 'The mail has no attachments and no images of its own.')];
}

// showMail puts a mail into a container. Addresses are those of its frame and of its files; more are further tabs,
// and notes what stands above them.
export function showMail(container, mail, { frameAddress, filesAddress, more = [], notes = [], chooseRecipient }) {
	const counted = (label, n) => n ? [label, el('span', { class: 'count' }, String(n))] : [label];
	const stage = el('div', { class: 'stage' }, frame(mail, frameAddress));
	const panels = [
		['mail', ['HTML'], '', [stage]],
		['text', ['Text'], 'text', [mail.text ? el('pre', {}, mail.text) : el('p', { class: 'dim' }, 'The mail has no text part.')]],
		['headers', ['Headers'], 'table', [table(null, mail.lines)]],
		['merge', counted('Merge', mail.vars.length), 'table', mergePanel(mail)],
		['links', counted('Links', mail.links.length), 'table', [table(['Text', 'Leads to'], mail.links) || el('p', { class: 'dim' }, 'The mail has no links.')]],
		['files', counted('Files', mail.files.length), 'table', filesPanel(mail, filesAddress)],
		['json', ['JSON'], 'text', [el('pre', {}, mail.request)]],
		...more,
	];
	if (!panels.some(([name]) => name === remembered.tab)) remembered.tab = 'mail';
	const drawing = () => {
		for (const one of stage.querySelectorAll('iframe')) {
			one.dataset.width = remembered.width;
			one.dataset.scheme = remembered.scheme;
		}
	};
	const looks = el('div', { class: 'looks' },
		choices('Width', 'width', [['phone', 'Phone'], ['desktop', 'Desktop'], ['full', 'Full']], drawing),
		choices('Colours', 'scheme', [['light', 'Light'], ['dark', 'Dark']], drawing));
	const tabs = el('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Parts of the mail' });
	const shown = new Map();
	const choose = (name) => {
		remembered.tab = name;
		for (const [one, { tab, panel }] of shown) {
			tab.setAttribute('aria-selected', String(one === name));
			tab.tabIndex = one === name ? 0 : -1;
			panel.hidden = one !== name;
		}
		looks.hidden = name !== 'mail';
	};
	for (const [name, label, kind, content] of panels) {
		const tab = el('button', { type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': `panel-${name}`, onclick: () => choose(name) }, ...label);
		const panel = el('div', { class: `panel ${kind}`, role: 'tabpanel', id: `panel-${name}`, 'aria-labelledby': `tab-${name}`, tabindex: name === 'mail' ? undefined : '0' }, ...content);
		shown.set(name, { tab, panel });
		tabs.append(tab);
	}
	roving(tabs, '[role=tab]', { choose: (tab) => choose(tab.id.slice('tab-'.length)) });
	choose(remembered.tab);

	const to = mail.recipients.length > 1 && chooseRecipient
		? el('select', { 'aria-label': 'Recipient', onchange: (event) => chooseRecipient(Number(event.target.value)) },
			...mail.recipients.map((address, i) => el('option', { value: i, selected: i === mail.to }, address)))
		: mail.recipients.join(', ');
	const problems = [...notes, ...mail.problems];
	const focused = container.contains(document.activeElement) && document.activeElement.id;
	container.replaceChildren(
		el('div', { class: 'head' }, el('h2', { tabindex: '-1' }, mail.subject || '(no subject)'), el('p', {}, `${mail.from} → `, to)),
		...(problems.length ? [el('ul', { class: 'notes', 'aria-label': 'Warnings' }, ...problems.map((problem) => el('li', {}, problem)))] : []),
		el('div', { class: 'tools' }, tabs, looks),
		...[...shown.values()].map(({ panel }) => panel),
	);
	if (focused) document.getElementById(focused)?.focus();
}
