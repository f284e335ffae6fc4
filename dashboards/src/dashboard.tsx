/** The dashboard of one site: begins when the page that carries it has been read. */

import { render } from "preact";

import { connect } from "./api/client";
import { App } from "./app";
import { readShell } from "./shell";
import { SiteProvider } from "./view/site";
import { ViewProvider } from "./view/navigation";
import "./styles/base.css";
import "./styles/toolbar.css";
import "./styles/figures.css";
import "./styles/panels.css";
import "./styles/dialogs.css";
import "./styles/screens.css";

const root = document.getElementById("dashboard");
if (root) {
  const shell = readShell(root);
  const xsrf = document.querySelector<HTMLMetaElement>('meta[name="xsrf"]')?.content ?? "";
  connect({ share: shell.share, xsrf });
  root.replaceChildren();
  render(
    <ViewProvider>
      <SiteProvider shell={shell}>
        <App />
      </SiteProvider>
    </ViewProvider>,
    root,
  );
}
