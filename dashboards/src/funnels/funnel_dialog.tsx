/** A funnel's name and its steps: goals in an order. */

import { useState } from "preact/hooks";

import { type Funnel, saveSetup, useSetup } from "../api/setup";
import { Form, LabelledField } from "../parts/form";
import { Icon } from "../parts/icon";
import { Modal } from "../parts/modal";
import { Answer, Empty } from "../parts/states";
import { useSite } from "../view/site";

/** As the server has it: server/queries/funnels.py. */
const FEWEST_STEPS = 2;
const MOST_STEPS = 8;

interface FunnelDialogProps {
  readonly funnel: Funnel | null;
  readonly onClose: () => void;
}

export function FunnelDialog({ funnel, onClose }: FunnelDialogProps) {
  const { shell } = useSite();
  const goals = useSetup(shell.domain, "goals");
  const [chosen, setChosen] = useState<readonly (number | null)[]>(funnel?.goal_ids ?? [null, null]);
  const save = async (fields: FormData): Promise<void> => {
    const goal_ids = chosen.filter((each) => each !== null);
    await saveSetup(shell.domain, "funnels", { name: fields.get("name"), goal_ids }, funnel?.funnel_id);
    onClose();
  };
  const put = (at: number, goalId: number | null): void => setChosen(chosen.map((each, other) => (other === at ? goalId : each)));
  return (
    <Modal title={funnel ? `Change ${funnel.name}` : "New funnel"} onClose={onClose} class="small">
      <Answer answer={goals} rows={3}>
        {(all) =>
          all.length < FEWEST_STEPS ? (
            <Empty>
              <p>A funnel needs at least two goals. Add them on the Overview, under Goals, then come back.</p>
            </Empty>
          ) : (
            <Form verb={funnel ? "Save" : "Make the funnel"} onSubmit={save}>
              <LabelledField label="Name">
                {(id) => <input id={id} name="name" required maxLength={100} defaultValue={funnel?.name} autocomplete="off" />}
              </LabelledField>
              {chosen.map((goalId, at) => (
                <LabelledField key={at} label={`Step ${at + 1}`}>
                  {(id) => (
                    <div class="step-pick">
                      <select
                        id={id}
                        required
                        value={goalId === null ? "" : String(goalId)}
                        onChange={(event) => put(at, event.currentTarget.value === "" ? null : Number(event.currentTarget.value))}
                      >
                        <option value="">Choose a goal</option>
                        {all.map((goal) => (
                          <option key={goal.goal_id} value={String(goal.goal_id)}>
                            {goal.display_name}
                          </option>
                        ))}
                      </select>
                      {chosen.length > FEWEST_STEPS && (
                        <button
                          type="button"
                          class="bare"
                          aria-label={`Take step ${at + 1} away`}
                          onClick={() => setChosen(chosen.filter((_, other) => other !== at))}
                        >
                          <Icon name="bin" />
                        </button>
                      )}
                    </div>
                  )}
                </LabelledField>
              ))}
              {chosen.length < MOST_STEPS && (
                <button type="button" onClick={() => setChosen([...chosen, null])}>
                  <Icon name="plus" /> Another step
                </button>
              )}
            </Form>
          )
        }
      </Answer>
    </Modal>
  );
}
