/** `script.hash.local.js` says in its name what our script takes as attributes. */

const script = document.currentScript as HTMLScriptElement;

for (const variant of ["hash", "manual", "local"])
  if (new URL(script.src).pathname.includes(`.${variant}.`)) script.dataset[variant] = "";
