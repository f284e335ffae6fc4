declare module "virtual:world-map" {
  const world: {
    readonly width: number;
    readonly height: number;
    readonly countries: readonly (readonly [code: string, path: string])[];
  };
  export default world;
}

declare module "*.css";
