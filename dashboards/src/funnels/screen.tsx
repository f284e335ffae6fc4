/** Funnels: how many visitors go through goals one after the other, and where they are lost. */

import { useState } from "preact/hooks";

import { type Funnel, removeSetup, useSetup } from "../api/setup";
import { type FunnelFigures, useFunnel } from "../api/stats";
import { Figure } from "../parts/figure";
import { Icon } from "../parts/icon";
import { Answer, Empty } from "../parts/states";
import { mayManage } from "../shell";
import { apiFilter, segmentFilter } from "../view/filters";
import { ViewLink, useView } from "../view/navigation";
import { useSite } from "../view/site";
import { numbers } from "../words/speech";
import { IgnoredFilters } from "../widgets/ignored_filters";
import { FunnelDialog } from "./funnel_dialog";
import { funnelFilters } from "./funnel_filters";

export function Funnels() {
  const { view } = useView();
  const { shell } = useSite();
  const [edited, setEdited] = useState<Funnel | "new" | null>(null);
  const funnels = useSetup(shell.domain, "funnels");
  const mayEdit = mayManage(shell);
  return (
    <section class="panel" aria-label="Funnels">
      <Answer answer={funnels}>
        {(all) => {
          const shown = all.find((each) => each.funnel_id === view.funnelId) ?? all[0];
          return (
            <>
              {shown ? (
                <>
                  <div class="controls">
                    <ul class="picker" aria-label="Funnels">
                      {all.map((each) => (
                        <li key={each.funnel_id}>
                          <ViewLink to={{ funnelId: each.funnel_id }} current={each === shown}>
                            {each.name}
                          </ViewLink>
                        </li>
                      ))}
                    </ul>
                    <span class="grows" />
                    {mayEdit && <Tools funnel={shown} onEdit={setEdited} />}
                  </div>
                  <Steps funnelId={shown.funnel_id} />
                </>
              ) : (
                <NoFunnels onAdd={mayEdit ? () => setEdited("new") : null} />
              )}
              {edited !== null && <FunnelDialog funnel={edited === "new" ? null : edited} onClose={() => setEdited(null)} />}
            </>
          );
        }}
      </Answer>
    </section>
  );
}

function Tools({ funnel, onEdit }: { readonly funnel: Funnel; readonly onEdit: (funnel: Funnel | "new") => void }) {
  const { shell } = useSite();
  const remove = (): void => {
    if (confirm(`Remove the funnel ${funnel.name}? Its goals stay.`)) void removeSetup(shell.domain, "funnels", funnel.funnel_id);
  };
  return (
    <>
      <button type="button" class="bare" aria-label={`Change ${funnel.name}`} onClick={() => onEdit(funnel)}>
        <Icon name="edit" />
      </button>
      <button type="button" class="bare" aria-label={`Remove ${funnel.name}`} onClick={remove}>
        <Icon name="bin" />
      </button>
      <button type="button" onClick={() => onEdit("new")}>
        <Icon name="plus" /> New funnel
      </button>
    </>
  );
}

function Steps({ funnelId }: { readonly funnelId: number }) {
  const { view } = useView();
  const { kept, ignored } = funnelFilters(view.filters);
  const segment = view.segmentId === null ? [] : [segmentFilter(view.segmentId)];
  return (
    <>
      <IgnoredFilters filters={ignored} why="A funnel follows whole visits" />
      <Answer answer={useFunnel(funnelId, [...kept.map(apiFilter), ...segment])}>{(figures) => <StepList figures={figures} />}</Answer>
    </>
  );
}

function StepList({ figures }: { readonly figures: FunnelFigures }) {
  const { steps, all_visitors, entering_visitors, conversion_rate } = figures;
  const percent = (value: number): string => numbers.exact(value, "percent");
  return (
    <>
      <div class="lead-figures">
        <p>
          <b>{percent(conversion_rate)}</b> <span>go all the way</span>
        </p>
        <p>
          <b>
            <Figure value={entering_visitors} unit="count" />
          </b>{" "}
          <span>of {numbers.exact(all_visitors, "count")} visitors enter</span>
        </p>
      </div>
      <ol class="steps">
        {steps.map((step, at) => (
          <li key={step.goal_id}>
            <div class="step-line">
              <b>{step.name}</b>
              <span class="number">
                <Figure value={step.visitors} unit="count" /> {step.visitors === 1 ? "visitor" : "visitors"}
                {at > 0 && <span class="soft"> · {percent(step.conversion_rate)} of those who enter</span>}
              </span>
            </div>
            <div class="step-bar">
              <i style={{ width: `${step.conversion_rate}%` }} />
            </div>
            <p class="lost">
              {at > 0 && step.dropoff > 0
                ? `${numbers.exact(step.dropoff, "count")} lost since the step before (${percent(step.dropoff_percentage)})`
                : at > 0
                  ? "Nobody lost since the step before"
                  : ""}
            </p>
          </li>
        ))}
      </ol>
    </>
  );
}

function NoFunnels({ onAdd }: { readonly onAdd: (() => void) | null }) {
  return (
    <Empty>
      <p>A funnel puts goals into an order, such as a product's page, the cart, the payment, and shows at which step people leave.</p>
      {onAdd ? (
        <button type="button" class="main" onClick={onAdd}>
          Make the first funnel
        </button>
      ) : (
        <p>An admin of this site can make one.</p>
      )}
    </Empty>
  );
}
