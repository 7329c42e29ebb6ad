/** The colors of services for drawings, each made once per drawing. */
import type { Palette } from '../../draw/palette';
import type { ServiceColors } from '../../model/service-color';

export function serviceFills(colors: ServiceColors, palette: Palette): (service: string) => string {
  const fills = new Map<string, string>();
  return (service) => {
    let fill = fills.get(service);
    if (fill === undefined) {
      const { hue, tone } = colors.of(service);
      fill = palette.service(hue, tone);
      fills.set(service, fill);
    }
    return fill;
  };
}
